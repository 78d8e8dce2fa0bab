// OpenAI's client for Node, as it comes: node with_node.mjs URL prints as JSON what it has of each call.

import { createRequire } from "node:module";
// The packages are installed in a folder of their own, not beside this file.
const require = createRequire(`${process.env.TASKFLEET_CLIENTS}/`);
const { OpenAI, toFile } = require("openai");

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "none" });
const model = "stub";
const messages = [{ role: "user", content: "Hi" }];
const tools = [{ type: "function", function: { name: "look", parameters: { type: "object" } } }];
const endpoint = "/v1/chat/completions";
const seen = {};

async function chats() {
  const answer = await client.chat.completions.create({ model, messages });
  seen.chat = answer.choices[0].message.content;
  seen.stream = "";
  for await (const chunk of await client.chat.completions.create({ model, messages, stream: true }))
    seen.stream += chunk.choices[0]?.delta.content ?? "";
  const called = await client.chat.completions.create({ model, messages, tools });
  seen.tool = called.choices[0].message.tool_calls[0].function;
  const streamed = await client.chat.completions.stream({ model, messages, tools }).finalChatCompletion();
  const { name, arguments: given } = streamed.choices[0].message.tool_calls[0].function;
  seen.streamedTool = { name, arguments: given };
}

async function others() {
  seen.vector = (await client.embeddings.create({ model, input: "four" })).data[0].embedding;
  seen.response = (await client.responses.create({ model, input: "Hi" })).output_text;
  seen.models = [];
  for await (const each of client.models.list()) seen.models.push(each.id);
  try {
    await client.chat.completions.create({ model: "gpt-9", messages });
  } catch (error) {
    seen.error = [error.constructor.name, error.status, error.code, error.param];
  }
}

async function batch() {
  const line = (name) => ({ custom_id: name, method: "POST", url: endpoint, body: { model, messages } });
  const lines = ["a", "b"].map((name) => JSON.stringify(line(name))).join("\n");
  const file = await client.files.create({ file: await toFile(Buffer.from(lines), "in.jsonl"), purpose: "batch" });
  let made = await client.batches.create({ input_file_id: file.id, endpoint, completion_window: "24h" });
  while (["validating", "in_progress", "finalizing"].includes(made.status)) {
    await new Promise((done) => setTimeout(done, 100));
    made = await client.batches.retrieve(made.id);
  }
  const output = await (await client.files.content(made.output_file_id)).text();
  const names = output.trim().split("\n").map((each) => JSON.parse(each).custom_id);
  seen.batch = [made.status, names.sort()];
  seen.deleted = (await client.files.delete(file.id)).deleted;
}

await chats();
await others();
await batch();
console.log(JSON.stringify(seen));
