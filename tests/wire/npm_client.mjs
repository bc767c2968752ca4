// The main paths through the npm `openai` client. Prints one JSON object of what it saw.
import OpenAI from "openai";

const [baseURL] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "mock", maxRetries: 0, timeout: 5000 });
const messages = [{ role: "user", content: "Why is the sky blue?" }];
const model = "mock-chat";
const seen = {};

async function failure(promise) {
  try {
    await promise;
    return null;
  } catch (error) {
    return { kind: error.constructor.name, status: error.status ?? null, code: error.code ?? null };
  }
}

const fault = (text, more = {}) => ({ headers: { "x-mock-fault": text }, ...more });

async function read(stream) {
  const pieces = [];
  for await (const chunk of stream) pieces.push(chunk.choices[0]?.delta?.content ?? "");
  return pieces.join("");
}

const whole = await client.chat.completions.create({ model, messages });
seen.chat = whole.choices[0].message.content;

const options = { include_usage: true };
let usage = null;
let streamed = "";
for await (const chunk of await client.chat.completions.create({
  model, messages, stream: true, stream_options: options,
})) {
  streamed += chunk.choices[0]?.delta?.content ?? "";
  usage = chunk.usage ?? usage;
}
seen.streamed = streamed;
seen.usage = usage.completion_tokens;

const tools = [{
  type: "function",
  function: {
    name: "get_weather",
    description: "Get the weather in a city",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
}];
const asking = [{ role: "user", content: "What is the weather in Paris?" }];
const runner = client.chat.completions.stream({ model, messages: asking, tools });
const final = await runner.finalChatCompletion();
seen.tool = JSON.parse(final.choices[0].message.tool_calls[0].function.arguments);

const schema = { type: "object", properties: { n: { type: "integer" } }, required: ["n"] };
const shaped = await client.chat.completions.create({
  model, messages,
  response_format: { type: "json_schema", json_schema: { name: "a", schema } },
});
seen.shaped = JSON.parse(shaped.choices[0].message.content);

const response = await client.responses.create({ model, input: "Why is the sky blue?" });
seen.response = response.output_text;
const events = [];
const following = client.responses.stream({ model, input: "Why is the sky blue?" });
for await (const event of following) events.push(event.type);
seen.events = [...new Set(events)];
seen.followed = (await following.finalResponse()).output_text;
seen.again = (await client.responses.retrieve(response.id)).output_text;

const embedded = await client.embeddings.create({ model, input: ["a", "b"], dimensions: 8 });
seen.embeddings = embedded.data.map((item) => item.embedding.length);
seen.models = (await client.models.list()).data.map((card) => card.id);

const file = await client.files.create({
  purpose: "batch",
  file: await OpenAI.toFile(Buffer.from("{}\n"), "a.jsonl"),
});
seen.file = await (await client.files.content(file.id)).text();

seen.failures = {};
const request = { model, messages };
for (const name of ["400", "401", "404", "429", "500"]) {
  seen.failures[name] = await failure(client.chat.completions.create(request, fault(name)));
}
seen.unknown = await failure(client.chat.completions.create({ ...request, n: 0 }));
const stream = { ...request, stream: true };
seen.dropped = await failure(
  client.chat.completions.create(stream, fault("disconnect; after=3")).then(read),
);
seen.errorEvent = await failure(
  client.chat.completions.create(stream, fault("error-event; after=3")).then(read),
);
seen.split = await read(await client.chat.completions.create(stream, fault("split-utf8")));
seen.retried = (await client.chat.completions.create(
  request, fault("503; tries=2; retry-after-ms=1", { maxRetries: 2 }),
)).choices[0].message.content;

const leaving = await client.chat.completions.create(stream, {
  headers: { "x-mock-pace": "dial=1,first=0,gap=0.02", "x-mock-client": "leaving" },
});
for await (const chunk of leaving) if (chunk.choices[0].delta.content) break;

console.log(JSON.stringify(seen));
