// The AI SDK against a scripted model, by each of its providers: text, tools whole and streamed.
import assert from "node:assert/strict";
import { generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";

const base = process.argv[2];
const compatible = createOpenAICompatible({ name: "mlxd", baseURL: `${base}/v1`, apiKey: "none" });
const openai = createOpenAI({ baseURL: `${base}/v1`, apiKey: "none" });
const anthropic = createAnthropic({ baseURL: `${base}/v1`, apiKey: "none" });
const models = { compatible: compatible("default"), responses: openai("default"), chat: openai.chat("default"), anthropic: anthropic("default") };
const inputSchema = jsonSchema({ type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false });

const providerOptions = { openai: { store: false } }; // else it sends items by their ids, of which nothing is stored

for (const [name, model] of Object.entries(models)) {
  const cities = [];
  const execute = async ({ city }) => (cities.push(city), "sunny");
  const tools = { get_weather: tool({ description: "Tells the weather.", inputSchema, execute }) };
  const asked = { model, prompt: "What is the weather in Oslo?", tools, stopWhen: stepCountIs(3), maxRetries: 0, providerOptions };
  const { text, steps } = await generateText(asked);
  assert.equal(text, "It is sunny.", name);
  assert.equal(steps.length, 2, name);
  const streamed = streamText({ ...asked, onError: ({ error }) => { throw error; } });
  assert.equal(await streamed.text, "It is sunny.", name);
  assert.deepEqual(cities, ["Oslo", "Oslo"], name);
}
console.log("all right");
