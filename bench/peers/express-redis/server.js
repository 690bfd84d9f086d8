// A send-code / verify-code service as many teams write it: Express, and Redis for the codes.
//
// Deliberately plain: read, compare and delete are three steps, nothing counts the guesses, the code lies in
// Redis in clear. That is the shape whose speed we compare with, not one to copy.

import { randomInt } from "node:crypto";
import express from "express";
import { Redis } from "ioredis";

const port = Number(process.env.PORT ?? 4500);
const redis = new Redis(process.env.REDIS_URL ?? "redis://127.0.0.1:6379");
const secondsToLive = 600;

// The generator has to know the right code; unset, codes are random.
const fixedCode = process.env.FIXED_CODE;

const drawCode = () => fixedCode ?? String(randomInt(1_000_000)).padStart(6, "0");

// Stands for the SMS provider, and costs nothing.
let sent = 0;
const sendMessage = async (_number, _text) => `SM${(sent += 1).toString(16).padStart(32, "0")}`;

const app = express();
app.use(express.json());

app.post("/send-code", async (request, response) => {
  const { phoneNumber } = request.body;
  if (typeof phoneNumber !== "string" || phoneNumber === "") {
    return response.status(400).json({ message: "A phone number is required." });
  }
  const code = drawCode();
  await redis.set(phoneNumber, code, "EX", secondsToLive);
  const id = await sendMessage(phoneNumber, `Your code is ${code}`);
  response.json({ message: `Message sent with id: ${id}` });
});

app.post("/verify-code", async (request, response) => {
  const { phoneNumber, smsCode } = request.body;
  const expected = await redis.get(String(phoneNumber));
  if (expected === null || expected !== smsCode) {
    return response.status(400).json({ message: "The phone number and the SMS code doesn't match." });
  }
  await redis.del(phoneNumber);
  response.json({ message: "This is a valid match!" });
});

await redis.ping();
app.listen(port, "127.0.0.1", () => console.log("listening"));
