// OpenAI's SDK for Node against vectors that are known: as base64, which it asks for where nobody said, as floats, and of tokens.
import assert from "node:assert/strict";
import OpenAI from "openai";

const base = process.argv[2];
const expected = JSON.parse(process.argv[3]); // the vectors of "one two", "three" and of the tokens 4 5
const client = new OpenAI({ baseURL: `${base}/v1`, apiKey: "none", maxRetries: 0 });
const asked = { model: "vectors", input: ["one two", "three"] };
const vectors = (answer) => answer.data.map((one) => [...one.embedding]);

const unsaid = await client.embeddings.create(asked);
assert.deepEqual(vectors(unsaid), expected.slice(0, 2));
assert.deepEqual(unsaid.data.map((one) => one.index), [0, 1]);
assert.deepEqual(unsaid.usage, { prompt_tokens: 3, total_tokens: 3 });

const floats = await client.embeddings.create({ ...asked, encoding_format: "float" });
assert.deepEqual(vectors(floats).map((one) => [...new Float32Array(one)]), expected.slice(0, 2));

const base64 = await client.embeddings.create({ ...asked, encoding_format: "base64" });
const bytes = Buffer.from(base64.data[1].embedding, "base64");
assert.equal(bytes.length, 4 * expected[1].length);
assert.deepEqual(expected[1].map((_, place) => bytes.readFloatLE(4 * place)), expected[1]);

const single = await client.embeddings.create({ model: "vectors", input: "three" });
assert.deepEqual(vectors(single), [expected[1]]);
const tokens = await client.embeddings.create({ model: "vectors", input: [[4, 5]] });
assert.deepEqual(vectors(tokens), [expected[2]]);
const short = await client.embeddings.create({ ...asked, dimensions: 5 });
assert.deepEqual(vectors(short), expected.slice(0, 2).map((one) => one.slice(0, 5)));

await assert.rejects(client.embeddings.create({ ...asked, model: "nobody" }), OpenAI.NotFoundError);
await assert.rejects(client.embeddings.create({ ...asked, input: [] }), OpenAI.BadRequestError);
await assert.rejects(client.embeddings.create({ ...asked, input: ["one", 2] }), OpenAI.BadRequestError);
console.log("all right");
