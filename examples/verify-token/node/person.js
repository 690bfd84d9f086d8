// The person behind a request. Copy this file into your service.
import { createRemoteJWKSet, errors, jwtVerify } from 'jose';

/** Of jose's errors those that are not about the token: the keys could not be fetched. */
const NO_KEYS = new Set(['ERR_JWKS_TIMEOUT', 'ERR_JWKS_INVALID', 'ERR_JOSE_GENERIC']);

/** Judges tokens of that issuer to that audience; the keys are fetched from there, kept, and fetched again when they change. */
export function verifier(issuer, audience = issuer) {
  // The address is ours: nothing that a token says leads anywhere.
  const keys = createRemoteJWKSet(new URL(`${issuer}/.well-known/jwks.json`), {
    cacheMaxAge: 300_000, cooldownDuration: 10_000, timeoutDuration: 5_000,
  });
  const expected = {
    issuer, audience, typ: 'at+jwt', algorithms: ['EdDSA'], clockTolerance: 5, requiredClaims: ['sub', 'exp'],
  };

  /** Claims of a good token; null for any other. Throws where the keys cannot be fetched. */
  return async function person(authorization = '') {
    const [scheme, token] = authorization.split(' ');
    if (scheme !== 'Bearer' || !token) return null;
    try {
      return (await jwtVerify(token, keys, expected)).payload;
    } catch (error) {
      if (error instanceof errors.JOSEError && !NO_KEYS.has(error.code)) return null;
      throw error;
    }
  };
}
