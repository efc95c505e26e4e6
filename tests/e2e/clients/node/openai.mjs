// OpenAI's SDK for Node against a scripted model: responses and chats, whole and streamed, by its own accumulators; errors by class.
import assert from "node:assert/strict";
import OpenAI from "openai";

const base = process.argv[2];
const client = new OpenAI({ baseURL: `${base}/v1`, apiKey: "none", maxRetries: 0 });
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false };
const tools = [{ type: "function", name: "get_weather", parameters, strict: true }];
const asked = { model: "default", input: "What is the weather in Oslo?", tools };

const whole = await client.responses.create(asked);
assert.deepEqual(whole.output.map((item) => item.type), ["reasoning", "message", "function_call"]);
assert.deepEqual(JSON.parse(whole.output[2].arguments), { city: "Oslo" });

const stream = client.responses.stream(asked);
const seen = [];
stream.on("event", (event) => seen.push(event.sequence_number));
const streamed = await stream.finalResponse();
assert.deepEqual(seen, [...seen.keys()]);
assert.equal(streamed.output_text, whole.output_text);
assert.equal(streamed.output[2].arguments, whole.output[2].arguments);
assert.deepEqual(streamed.output[2].parsed_arguments, { city: "Oslo" });

const output = { type: "function_call_output", call_id: whole.output[2].call_id, output: "sunny" };
const last = await client.responses.create({ ...asked, input: [{ role: "user", content: asked.input }, ...whole.output, output] });
assert.equal(last.output_text, "It is sunny.");

const chat = { model: "default", messages: [{ role: "user", content: asked.input }], tools: [{ type: "function", function: { name: "get_weather", parameters } }] };
const answer = await client.chat.completions.create(chat);
const completion = await client.chat.completions.stream(chat).finalChatCompletion();
assert.deepEqual(completion.choices[0].message.content, answer.choices[0].message.content);
assert.deepEqual(
  completion.choices[0].message.tool_calls.map((call) => call.function.arguments),
  answer.choices[0].message.tool_calls.map((call) => call.function.arguments),
);

await assert.rejects(client.responses.create({ ...asked, model: "nobody" }), OpenAI.NotFoundError);
await assert.rejects(client.responses.create({ ...asked, temperature: 9 }), OpenAI.BadRequestError);
console.log("all right");
