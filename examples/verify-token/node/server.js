// A service that lets people in who signed in to Countersign.
import { createServer } from 'node:http';
import { verifier } from './person.js';

const { ISSUER = 'http://127.0.0.1:8080', AUDIENCE = ISSUER, PORT = '4002' } = process.env;
const person = verifier(ISSUER, AUDIENCE);

function answer(response, status, body) {
  response.writeHead(status, { 'content-type': 'application/json', ...(status === 401 && { 'www-authenticate': 'Bearer' }) });
  response.end(JSON.stringify(body));
}

const server = createServer(async (request, response) => {
  if (request.url !== '/hello') return answer(response, 404, { error: 'not found' });
  try {
    const user = await person(request.headers.authorization);
    if (user) answer(response, 200, { message: 'Welcome!', user });
    else answer(response, 401, { error: 'sign in' });
  } catch {
    // The issuer does not answer: nobody passes, and nobody is told that their token is bad.
    answer(response, 503, { error: 'try again' });
  }
});
server.listen(Number(PORT), '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
