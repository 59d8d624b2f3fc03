/** Rows that are conversations, in the forms that data sets of other tools have them. */

import { assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { tokenize } from "../../src/data/tokenize.ts";
import { parseColumnMap } from "../../src/data/column_map.ts";
import { recognise, type RecogniseOptions } from "../../src/data/row_format.ts";
import { DataError } from "../../src/errors.ts";
import { ChatTemplate } from "../../src/io/chat_template.ts";
import { PieceEncoder } from "../support/data.ts";

const of = (row: unknown, options: RecogniseOptions = {}) => recognise(row, {}, "row", options);
const refusal = (row: unknown, columns = {}) =>
  assertThrows(() => recognise(row, columns, "x.jsonl line 9"), DataError).message;

const user = (content: string) => ({ role: "user", content });
const assistant = (content: string, more = {}) => ({ role: "assistant", content, ...more });
const system = (content: string) => ({ role: "system", content });

/** Writes `[role] content (calls …)`, and every answer's end as `[end]`. */
const TEMPLATE = "{% if tools %} tools:{{ tools[0].name }}{% endif %}" +
  "{% if documents %} docs:{{ documents | length }}{% endif %}" +
  "{% if enable_thinking is defined %} thinking:{{ enable_thinking }}{% endif %}" +
  "{% for m in messages %} [{{ m.role }}]{% if m.reasoning_content %} <{{ m.reasoning_content }}>{% endif %}" +
  "{% if m.content %} {{ m.content }}{% endif %}" +
  "{% if m.tool_calls %} call:{{ m.tool_calls[0].function.name }}{% endif %}" +
  "{% if m.role == 'assistant' %} [end]{% endif %}{% endfor %}" +
  "{% if add_generation_prompt %} [assistant]{% endif %}";

/** The pieces of a row as trained, those that are no target in brackets. */
async function marked(
  row: unknown,
  trainOnPrompt = false,
  template = TEMPLATE,
): Promise<string> {
  const encoder = new class extends PieceEncoder {
    override readonly chatTemplate = new ChatTemplate(template);
  }();
  const [{ ids, labels }] = await tokenize(of(row), encoder, trainOnPrompt, "row");
  return Array.from(ids, (id, i) => {
    const piece = encoder.pieces[id].replace("▁", "");
    return labels[i] === -100 ? `(${piece})` : piece;
  }).filter((piece) => !["", "()"].includes(piece)).join(" ").replaceAll(") (", " ");
}

Deno.test("null columns are columns that a row has not", () => {
  const none = { text: null, messages: null, prompt: null, completion: null };
  assertEquals(of({ ...none, text: "t" }), { kind: "text", text: "t" });
  assertEquals(of({ ...none, prompt: "p", completion: "c" }), {
    kind: "completion",
    prompt: "p",
    completion: "c",
  });
  assertEquals(of({ ...none, messages: [user("q"), { ...assistant("a"), tool_calls: null }] }), {
    kind: "chat",
    messages: [user("q"), assistant("a")],
  });
  assertEquals(of({ input_ids: [1, 2], labels: null, attention_mask: null }), {
    kind: "ids",
    inputIds: [1, 2],
    labels: undefined,
  });
  assertStringIncludes(refusal({ prompt: "p", completion: null }), '"completion" is null');
});

Deno.test("empty cells of a table are columns that a row has not, unless nothing else is there", () => {
  const table = { table: true };
  const none = { text: "", messages: "", prompt: "", completion: "" };
  assertEquals(of({ ...none, text: "t" }, table), { kind: "text", text: "t" });
  assertEquals(of({ ...none, prompt: "p", completion: "c" }, table).kind, "completion");
  assertEquals(of({ prompt: "", completion: "c" }, table), {
    kind: "completion",
    prompt: "",
    completion: "c",
  });
  assertEquals(of({ text: "" }, table), { kind: "text", text: "" });
  assertEquals(of({ messages: '[{"role":"user","content":"q"}]', text: "" }, table), {
    kind: "chat",
    messages: [user("q")],
  });
  // Elsewhere an empty prompt is one.
  assertEquals(of({ prompt: "", completion: "c", text: "t" }).kind, "completion");
});

Deno.test("ShareGPT's turns are messages", async () => {
  const turns = [
    { from: "system", value: "s" },
    { from: "human", value: "q" },
    { from: "gpt", value: "a", weight: 0 },
    { from: "human", value: "r" },
    { from: "function_call", value: '{"name":"f","arguments":{"x":1}}' },
    { from: "observation", value: "o" },
    { from: "gpt", value: "b" },
  ];
  const call = { type: "function", function: { name: "f", arguments: { x: 1 } } };
  const messages = [
    system("s"),
    user("q"),
    assistant("a", { weight: 0 }),
    user("r"),
    assistant("", { tool_calls: [call] }),
    { role: "tool", content: "o" },
    assistant("b"),
  ];
  for (const key of ["conversations", "conversation", "messages"]) {
    assertEquals(of({ [key]: turns }), { kind: "chat", messages });
    assertEquals(of({ [key]: JSON.stringify(turns) }), { kind: "chat", messages });
    assertEquals(of({ [key]: [user("q"), assistant("a")] }).kind, "chat");
  }
  assertEquals(
    await marked({ conversations: turns }),
    "([system] s [user] q [assistant] a [end] [user] r [assistant]) call:f [end] " +
      "([tool] o [assistant]) b [end]",
  );
  const turn = (from: unknown, value: unknown) => ({ conversations: [{ from, value }] });
  assertStringIncludes(refusal(turn("humen", "q")), "turn 0 is from the string humen");
  assertStringIncludes(refusal(turn("human", 3)), "the value of turn 0 is the number 3");
  assertStringIncludes(refusal(turn("function_call", "f(x)")), "no JSON object with name and");
});

Deno.test("a system column comes first, and contradicts no system message", () => {
  const conversations = [user("q"), assistant("a")];
  const messages = [system("s"), ...conversations];
  assertEquals(of({ conversations, system: "s" }), { kind: "chat", messages });
  assertEquals(of({ conversations: messages, system: "s" }), { kind: "chat", messages });
  assertEquals(of({ conversations, system: "" }), { kind: "chat", messages: conversations });
  assertStringIncludes(refusal({ messages, system: "t" }), 'a "system" column and another');
});

Deno.test("LLaMA-Factory's columns make a conversation, even where they are empty", () => {
  const row = { instruction: "i", input: "x", output: "o" };
  assertEquals(of({ ...row, system: "s", history: [["q", "a"]] }), {
    kind: "chat",
    messages: [system("s"), user("q"), assistant("a"), user("i\nx"), assistant("o")],
  });
  assertEquals(of({ ...row, input: "", history: [] }), {
    kind: "chat",
    messages: [user("i"), assistant("o")],
  });
  assertEquals(of({ prompt: "p", completion: "c", system: "s" }), {
    kind: "chat",
    messages: [system("s"), user("p"), assistant("c")],
  });
  assertEquals(of({ ...row, system: null, history: null }).kind, "completion");
  assertStringIncludes(refusal({ ...row, history: [["q"]] }), 'turn 0 of "history" is an array');
});

Deno.test("a prompt and a completion may be messages: only the completion is learned", async () => {
  const row = {
    prompt: [user("q"), assistant("a"), user("r")],
    completion: [assistant("b")],
  };
  assertEquals(
    await marked(row),
    "([user] q [assistant] a [end] [user] r [assistant]) b [end]",
  );
  assertEquals((await marked({ ...row, system: "s" })).startsWith("([system] s [user] q"), true);
  assertEquals((await marked({ ...row, system: "s" })).endsWith("[assistant]) b [end]"), true);
  assertEquals(
    await marked(row, true),
    "[user] q [assistant] a [end] [user] r [assistant] b [end]",
  );
  assertStringIncludes(refusal({ ...row, completion: "b" }), '"completion" is the string b');
  // Texts that look like lists are texts.
  assertEquals(of({ prompt: "[1]", completion: "[2" }).kind, "completion");
});

Deno.test("every field of a message and of the row reaches the template", async () => {
  const tool_calls = [{ type: "function", function: { name: "f", arguments: "{}" } }];
  const messages = [
    { role: "developer", content: "d" },
    user("q"),
    { role: "assistant", content: null, reasoning_content: "why", tool_calls },
    { role: "tool", content: "o", tool_call_id: "1" },
    assistant("a", { reasoning_content: "so" }),
  ];
  const row = {
    messages,
    tools: [{ name: "f", parameters: { x: null } }],
    documents: '[{"text":"d"},{"text":"e"}]',
    chat_template_kwargs: { enable_thinking: true },
  };
  assertEquals(
    await marked(row),
    "(tools:f docs:2 thinking:True [developer] d [user] q [assistant]) <why> call:f [end] " +
      "([tool] o [assistant]) <so> a [end]",
  );
  assertEquals(of(row), {
    kind: "chat",
    messages,
    variables: {
      tools: [{ name: "f", parameters: {} }],
      documents: [{ text: "d" }, { text: "e" }],
      enable_thinking: true,
    },
  });
  assertStringIncludes(refusal({ messages, tools: "f" }), '"tools" is the string f');
  assertStringIncludes(refusal({ messages, tools: "[{'name'" }), "as Python's json.dumps does");
  assertStringIncludes(refusal({ messages: [{ role: "assistant", content: null }] }), "is null");
  assertStringIncludes(refusal({ messages: [user("q"), { role: "asistant" }] }), "of message 1");
});

Deno.test("an answer of weight 0 is context", async () => {
  const messages = [
    user("2+2?"),
    assistant("Five", { weight: 0 }),
    user("Sure?"),
    assistant("Four", { weight: 1 }),
  ];
  assertEquals(
    await marked({ messages }),
    "([user] 2+2? [assistant] Five [end] [user] Sure? [assistant]) Four [end]",
  );
  assertEquals(
    await marked({ messages }, true),
    "[user] 2+2? [assistant] (Five [end]) [user] Sure? [assistant] Four [end]",
  );
  // Axolotl's name for the same.
  const trained = [user("q"), assistant("a", { train: false }), user("r"), assistant("b")];
  assertEquals(
    await marked({ messages: trained }),
    "([user] q [assistant] a [end] [user] r [assistant]) b [end]",
  );
  assertStringIncludes(
    refusal({ messages: [user("q"), assistant("a", { weight: 0.5 })] }),
    "the weight of message 1 is the number 0.5; give 0",
  );
});

Deno.test("parts of a message go to templates that know them, and are one text elsewhere", async () => {
  const parts = (...texts: string[]) => texts.map((text) => ({ type: "text", text }));
  const row = (...texts: string[]) => ({ messages: [{ role: "user", content: parts(...texts) }] });
  const knows = "{% for m in messages %} {% if m.content is string %}{{ m.content }}{% else %}" +
    "{% for p in m.content %}{{ p.text }}{% endfor %}{% endif %}{% endfor %}";
  assertEquals(await marked(row("a", "b"), true, knows), "ab");
  assertEquals(await marked(row("a"), true), "[user] a");
  await assertRejects(
    () => marked(row("a", "b"), true),
    DataError,
    "message 0 has 2 parts, but the chat",
  );
  const image = { messages: [{ role: "user", content: [{ type: "image", url: "x" }] }] };
  await assertRejects(() => marked(image), DataError, "a part of type the string image");
});

Deno.test("padding that the attention mask covers is left out at both ends", () => {
  const ids = (row: Record<string, unknown>) => of({ input_ids: [5, 6, 7, 8], ...row });
  assertEquals(ids({ attention_mask: [1, 1, 1, 0] }), {
    kind: "ids",
    inputIds: [5, 6, 7],
    labels: undefined,
  });
  assertEquals(ids({ attention_mask: [0, 1, 1, 0], labels: [5, -100, 7, 8] }), {
    kind: "ids",
    inputIds: [6, 7],
    labels: [-100, 7],
  });
  assertEquals(
    of({ input_ids: Uint32Array.of(5, 6), attention_mask: Uint8Array.of(1, 0) }),
    { kind: "ids", inputIds: [5], labels: undefined },
  );
  assertEquals(ids({ attention_mask: [0, 1, 1, 1], completion_mask: [0, 0, 0, 1] }), {
    kind: "ids",
    inputIds: [6, 7, 8],
    labels: [-100, -100, 8],
  });
  assertEquals(ids({ labels: [-100, 6, 7, 8], assistant_masks: [1, 1, 0, 1] }), {
    kind: "ids",
    inputIds: [5, 6, 7, 8],
    labels: [-100, 6, -100, 8],
  });
  assertStringIncludes(
    refusal({ input_ids: [5, 6], completion_mask: [1] }),
    "2 input_ids and 1 values of completion_mask",
  );
  const message = (attention_mask: unknown) => refusal({ input_ids: [5, 6, 7], attention_mask });
  assertStringIncludes(message([1, 0, 1]), '"attention_mask" has 0 at position 1, between');
  assertStringIncludes(message([1, 2, 2]), "has 2 at position 1");
  assertStringIncludes(message([1, 1]), "3 input_ids and 2 values of attention_mask");
});

Deno.test("rows of preferences are refused with what they are", () => {
  assertStringIncludes(
    refusal({ prompt: "p", chosen: "c", rejected: "r" }),
    "learning from preferences (DPO) is not implemented; map completion=chosen to learn",
  );
  const chosen = [user("q"), assistant("a")];
  assertStringIncludes(refusal({ chosen, rejected: chosen }), "map messages=chosen");
  const columns = parseColumnMap("messages=chosen");
  assertEquals(recognise({ chosen, rejected: chosen }, columns, "row"), {
    kind: "chat",
    messages: chosen,
  });
});

Deno.test("columns that look like data and are not used are named", () => {
  const unused = (row: unknown, columns = {}) => {
    let found: string[] = [];
    recognise(row, columns, "row", { onUnused: (names) => found = names });
    return found;
  };
  assertEquals(unused({ prompt: "p", completion: "c", context: "x", id: 3, label: false }), [
    "context",
    "label",
  ]);
  assertEquals(unused({ prompt: "p", completion: "c", context: "", images: [], text: null }), []);
  assertEquals(unused({ instruction: "i", input: "", output: "o", text: "all" }), ["text"]);
  assertEquals(
    unused({ question: "q", answer: "a" }, { prompt: "question", completion: "answer" }),
    [],
  );
  assertEquals(unused({ messages: [user("q")], tools: [], history: [["a", "b"]] }), ["history"]);
});

Deno.test("rows that are nested beyond any tool's schema are refused by name", () => {
  const deep = JSON.parse("[".repeat(9999) + "]".repeat(9999));
  const messages = [{ role: "user", content: "a" }, { role: "assistant", content: "b" }];
  const rows = [
    { messages, tools: [{ a: deep }] },
    { messages: [{ ...messages[0], extra: deep }, messages[1]] },
    { messages: [messages[0], { ...messages[1], content: deep }] },
    { messages, chat_template_kwargs: { a: deep } },
  ];
  for (const row of rows) {
    assertThrows(() => recognise(row, {}, "row 1"), DataError, "more than 200 levels deep");
  }
});
