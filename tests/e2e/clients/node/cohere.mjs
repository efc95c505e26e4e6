// Cohere's SDK for Node against scores that are known, by both versions of its API.
import assert from "node:assert/strict";
import { CohereClient, CohereClientV2 } from "cohere-ai";

const base = process.argv[2];
const asked = { model: "scores", query: "red green blue", documents: ["grey", "red green blue", "blue"] };
const order = (answer) => answer.results.map((one) => one.index);

const first = await new CohereClient({ token: "none", environment: base }).rerank({ ...asked, topN: 2, returnDocuments: true });
assert.deepEqual(order(first), [1, 2]);
assert.equal(first.results[0].relevanceScore, 1);
assert.equal(first.results[1].document.text, "blue");
const second = await new CohereClientV2({ token: "none", environment: base }).rerank({ ...asked, maxTokensPerDoc: 4096 });
assert.deepEqual(order(second), [1, 2, 0]);
assert.equal(typeof second.id, "string");
console.log("all right");
