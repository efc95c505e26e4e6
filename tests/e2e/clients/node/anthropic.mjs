// Anthropic's SDK for Node against a scripted model: what is told whole and streamed, by its own accumulator; counts; errors by class.
import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";

const base = process.argv[2];
const client = new Anthropic({ baseURL: base, apiKey: "none", maxRetries: 0 });
const tools = [{ name: "get_weather", input_schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] } }];
const asked = { model: "default", max_tokens: 1000, messages: [{ role: "user", content: "What is the weather in Oslo?" }], tools };

const whole = await client.messages.create(asked);
assert.deepEqual(whole.content.map((block) => block.type), ["thinking", "text", "tool_use"]);
assert.deepEqual(whole.content[2].input, { city: "Oslo" });
assert.equal(whole.stop_reason, "tool_use");

const told = { text: "", json: "", thinking: "" };
const stream = client.messages
  .stream(asked)
  .on("text", (text) => (told.text += text))
  .on("inputJson", (json) => (told.json += json))
  .on("thinking", (thinking) => (told.thinking += thinking));
const streamed = await stream.finalMessage();
const known = ({ id, ...block }) => block;
assert.deepEqual(streamed.content.map(known), whole.content.map(known));
assert.equal(told.text, whole.content[1].text);
assert.equal(told.thinking, whole.content[0].thinking);
assert.deepEqual(JSON.parse(told.json), { city: "Oslo" });

const { max_tokens, ...counted } = asked;
const { input_tokens } = await client.messages.countTokens(counted);
assert.equal(input_tokens, whole.usage.input_tokens + whole.usage.cache_read_input_tokens + whole.usage.cache_creation_input_tokens);

const history = [...asked.messages, { role: "assistant", content: whole.content }];
const result = { type: "tool_result", tool_use_id: whole.content[2].id, content: "sunny" };
const last = await client.messages.create({ ...asked, messages: [...history, { role: "user", content: [result] }] });
assert.deepEqual(last.content.map((block) => [block.type, block.text]), [["text", "It is sunny."]]);
assert.equal(last.stop_reason, "end_turn");

const names = [];
for await (const model of client.models.list()) names.push(model.id);
assert.ok(names.includes("default"));

await assert.rejects(client.messages.create({ ...asked, model: "nobody" }), Anthropic.NotFoundError);
await assert.rejects(client.messages.create({ ...asked, max_tokens: -1 }), Anthropic.BadRequestError);
console.log("all right");
