import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { ChatTemplate } from "../../src/io/chat_template.ts";
import { alpacaPrompt } from "../../src/data/alpaca.ts";
import { fit } from "../../src/data/truncate.ts";
import { parseColumnMap } from "../../src/data/column_map.ts";
import { recognise } from "../../src/data/row_format.ts";
import { emptyStatistics } from "../../src/data/statistics.ts";
import { tokenize } from "../../src/data/tokenize.ts";
import type { Example } from "../../src/data/types.ts";
import { DataError, OptionError } from "../../src/errors.ts";
import { PieceEncoder } from "../support/data.ts";

/**
 * The pieces of an example with those that are no target in brackets; a bar between documents.
 */
async function marked(
  example: Example,
  encoder = new PieceEncoder(),
  trainOnPrompt = false,
): Promise<string> {
  const documents = await tokenize(example, encoder, trainOnPrompt, "row");
  return documents.map(({ ids, labels }) =>
    Array.from(ids, (id, i) => {
      assertEquals(labels[i] === -100 || labels[i] === id, true);
      return labels[i] === -100 ? `(${encoder.pieces[id]})` : encoder.pieces[id];
    }).join(" ")
  ).join(" | ");
}

function withTemplate(template: string): PieceEncoder {
  return new class extends PieceEncoder {
    override readonly chatTemplate = new ChatTemplate(template);
  }();
}

const CHAT_TEMPLATE = "<s>{% for m in messages %} [{{ m.role }}] {{ m.content }} [end]" +
  "{% endfor %}{% if add_generation_prompt %} [assistant]{% endif %}";

Deno.test("rows are recognised by their keys", () => {
  const of = (row: unknown) => recognise(row, {}, "row");
  assertEquals(of({ text: "a", id: 3 }), { kind: "text", text: "a" });
  assertEquals(of({ prompt: "p", completion: "c", text: "t" }), {
    kind: "completion",
    prompt: "p",
    completion: "c",
  });
  assertEquals(of({ instruction: "i", input: "x", output: "o", text: "all of it" }), {
    kind: "completion",
    prompt: alpacaPrompt("i", "x"),
    completion: "o",
  });
  for (const input of ["", null, undefined]) {
    assertEquals(of({ instruction: "i", input, output: "o" }), {
      kind: "completion",
      prompt: alpacaPrompt("i"),
      completion: "o",
    });
  }
  assertEquals(of({ messages: [{ role: "user", content: "q", name: "n" }] }), {
    kind: "chat",
    messages: [{ role: "user", content: "q", name: "n" }],
  });
  assertEquals(of({ input_ids: [1, 2] }), { kind: "ids", inputIds: [1, 2], labels: undefined });
  assertEquals(of({ input_ids: [1, 2], labels: [-100, 2] }), {
    kind: "ids",
    inputIds: [1, 2],
    labels: [-100, 2],
  });
  const typed = Uint32Array.of(1, 2);
  assertEquals(of({ input_ids: typed }), { kind: "ids", inputIds: typed, labels: undefined });
});

Deno.test("columns are mapped, and win over the row's own keys", () => {
  const columns = parseColumnMap("prompt=question, completion=answer");
  assertEquals(
    recognise({ question: "q", answer: "a", input_ids: [1], text: "t" }, columns, "row"),
    {
      kind: "completion",
      prompt: "q",
      completion: "a",
    },
  );
  assertEquals(
    recognise({ instruction: "i", response: "o" }, { output: "response", input: "context" }, "row"),
    { kind: "completion", prompt: alpacaPrompt("i"), completion: "o" },
  );
  assertThrows(
    () => recognise({ question: "q", reply: "a" }, columns, "x.jsonl line 4"),
    DataError,
    'x.jsonl line 4: it has the keys question, reply, but the column map names "answer"',
  );
  for (const map of ["prompt", "prompt=a=b", "=a", "", "prompt=a,"]) {
    assertThrows(() => parseColumnMap(map), OptionError, "prompt=question,completion=answer");
  }
  assertThrows(() => parseColumnMap("question=prompt"), OptionError, '"question"');
});

Deno.test("rows that mean nothing are refused with what was found and wanted", () => {
  const message = (row: unknown) =>
    assertThrows(() => recognise(row, {}, "x.jsonl line 9"), DataError).message;
  assertStringIncludes(
    message({ question: "q", answer: "a" }),
    "Cannot read x.jsonl line 9: it has the keys question, answer; give text, or prompt and",
  );
  assertStringIncludes(message({}), "has the keys (none)");
  const many = Object.fromEntries(Array.from({ length: 30 }, (_, i) => [`key ${i}`, null]));
  assertStringIncludes(message(many), "key 19, and 10 more");
  const long = message({ ["text".repeat(10_000)]: null });
  assertStringIncludes(long, "has the keys texttexttexttexttexttexttexttexttexttext…");
  assert(long.length < 400);
  assertStringIncludes(message([1]), "is an array; give one JSON object per row");
  assertStringIncludes(message("text"), "is the string text");
  assertStringIncludes(message(null), "is null");
  assertStringIncludes(message({ text: 5 }), '"text" is the number 5; give a string');
  assertStringIncludes(message({ prompt: "p", completion: null }), '"completion" is null');
  assertStringIncludes(message({ messages: [] }), "an empty array");
  assertStringIncludes(message({ messages: [{ role: "tols", content: "x" }] }), "the string tols");
  assertStringIncludes(message({ messages: [{ role: "user", content: [] }] }), "of message 0");
  assertStringIncludes(message({ messages: [null] }), "the role of message 0 is undefined");
  assertStringIncludes(
    message({ input_ids: "1 2" }),
    '"input_ids" is the string 1 2; give an array',
  );
  assertStringIncludes(message({ input_ids: [1, 2.5] }), "the number 2.5");
  assertStringIncludes(message({ input_ids: [1, -1] }), "the number -1");
  assertStringIncludes(message({ input_ids: [1, 2 ** 31] }), "give token ids");
  assertStringIncludes(message({ input_ids: [1, 2], labels: [1, -1] }), "or -100");
  assertStringIncludes(message({ input_ids: [1, 2], labels: [1] }), "2 input_ids and 1 labels");
});

Deno.test("the Alpaca prompts are the published ones", () => {
  assertEquals(
    alpacaPrompt("Add.", "1, 2"),
    "Below is an instruction that describes a task, paired with an input that provides further " +
      "context. Write a response that appropriately completes the request.\n\n" +
      "### Instruction:\nAdd.\n\n### Input:\n1, 2\n\n### Response:",
  );
  assertEquals(
    alpacaPrompt("Sing."),
    "Below is an instruction that describes a task. Write a response that appropriately " +
      "completes the request.\n\n### Instruction:\nSing.\n\n### Response:",
  );
});

Deno.test("text is wrapped in bos and eos, which are not doubled", async () => {
  assertEquals(await marked({ kind: "text", text: "a b" }), "<s> ▁a ▁b </s>");
  const encoder = new PieceEncoder();
  const x = encoder.encode("x")[0];
  encoder.encode = () => [1, x, 2];
  assertEquals(await marked({ kind: "text", text: "x" }, encoder), "<s> ▁x </s>");
  const bare = new class extends PieceEncoder {
    override readonly bosTokenId = null;
    override readonly eosTokenId = null;
  }();
  assertEquals(await marked({ kind: "text", text: "a b" }, bare), "▁a ▁b");
});

Deno.test("a completion's tokens are targets, and its boundary is that of the joined text", async () => {
  const of = (prompt: string, completion: string, trainOnPrompt = false) =>
    marked({ kind: "completion", prompt, completion }, new PieceEncoder(), trainOnPrompt);
  assertEquals(await of("Q a", " b c"), "(<s>) (▁Q) (▁a) ▁b ▁c </s>");
  // The piece that spans the boundary is not given by the prompt alone.
  assertEquals(await of("Q a", "b c"), "(<s>) (▁Q) ▁ab ▁c </s>");
  assertEquals(await of("Q a ", "b"), "(<s>) (▁Q) (▁a) ▁b </s>");
  assertEquals(await of("", "b"), "(<s>) ▁b </s>");
  assertEquals(await of("Q a", " b", true), "<s> ▁Q ▁a ▁b </s>");
});

Deno.test("an empty text and an empty completion give nothing to learn", async () => {
  const of = (example: Example, trainOnPrompt = false) =>
    tokenize(example, new PieceEncoder(), trainOnPrompt, "row");
  assertEquals(await of({ kind: "text", text: "" }), []);
  assertEquals(await of({ kind: "completion", prompt: "p", completion: "" }), []);
  assertEquals((await of({ kind: "completion", prompt: "p", completion: "" }, true)).length, 1);
});

Deno.test("ready-made ids are taken as they are", async () => {
  const of = async (labels?: number[]) =>
    (await tokenize({ kind: "ids", inputIds: [5, 6, 7], labels }, null, false, "row"))[0];
  assertEquals(await of(), {
    ids: Uint32Array.of(5, 6, 7),
    labels: Int32Array.of(5, 6, 7),
    promptLength: 0,
  });
  assertEquals((await of([-100, -100, 9])).labels, Int32Array.of(-100, -100, 9));
  assertEquals((await of([-100, -100, 9])).promptLength, 2);
  assertEquals((await of([-100, -100, -100])).promptLength, 3);
});

Deno.test("text without a tokenizer, messages without a template", async () => {
  await assertRejects(
    async () => await tokenize({ kind: "text", text: "a" }, null, false, "row 3"),
    OptionError,
    "Cannot tokenise row 3: it has text, but there is no tokenizer",
  );
  await assertRejects(
    () => marked({ kind: "chat", messages: [{ role: "user", content: "q" }] }),
    OptionError,
    "no chat template",
  );
});

Deno.test("the assistant's turns of a chat are targets, with what ends them", async () => {
  const messages = [
    { role: "system", content: "s" },
    { role: "user", content: "q" },
    { role: "assistant", content: "a b" },
    { role: "user", content: "r" },
    { role: "assistant", content: "c" },
  ];
  const encoder = withTemplate(CHAT_TEMPLATE);
  assertEquals(
    await marked({ kind: "chat", messages }, encoder),
    "(▁) (<s>) (▁[system]) (▁s) (▁[end]) (▁[user]) (▁q) (▁[end]) (▁[assistant]) ▁a ▁b ▁[end] " +
      "(▁[user]) (▁r) (▁[end]) (▁[assistant]) ▁c ▁[end]",
  );
  assertEquals(
    await marked({ kind: "chat", messages: messages.slice(1, 3) }, encoder, true),
    "▁ <s> ▁[user] ▁q ▁[end] ▁[assistant] ▁a ▁b ▁[end]",
  );
  // No answer at all: no target.
  assertEquals(
    await marked({ kind: "chat", messages: messages.slice(1, 2) }, encoder),
    "(▁) (<s>) (▁[user]) (▁q) (▁[end])",
  );
});

Deno.test("a chat template may close the last turn in a way of its own", async () => {
  const encoder = withTemplate(
    "{% for m in messages %} {{ m.content }}{% endfor %}{% if not add_generation_prompt %} [stop]" +
      "{% endif %}",
  );
  const messages = [
    { role: "user", content: "q" },
    { role: "assistant", content: "a" },
    { role: "user", content: "r" },
    { role: "assistant", content: "b" },
  ];
  assertEquals(await marked({ kind: "chat", messages }, encoder), "(▁) (▁q) ▁a (▁r) ▁b ▁[stop]");
});

Deno.test("a chat template whose answers cannot be found, or that refuses the messages, is named", async () => {
  const messages = [{ role: "user", content: "q" }, { role: "assistant", content: "a" }];
  const counting = withTemplate("{{ messages | length }} messages");
  await assertRejects(
    () => marked({ kind: "chat", messages }, counting),
    DataError,
    "does not separate the answer in message 1 from its prompt",
  );
  const refusing = withTemplate("{{ raise_exception('no ' + messages[0].role) }}");
  await assertRejects(() => marked({ kind: "chat", messages }, refusing), DataError, "no user");
});

/** Fits a document whose ids count up from 0 (its bos), and gives the ids of each piece. */
function fitted(prompt: number, completion: number, sequenceLength: number) {
  const ids = Uint32Array.from({ length: prompt + completion }, (_, i) => i);
  const labels = Int32Array.from(ids).fill(-100, 0, prompt);
  const statistics = emptyStatistics();
  const documents = fit({ ids, labels, promptLength: prompt }, sequenceLength, 0, statistics);
  for (const document of documents) {
    document.labels.forEach((label, i) => {
      assertEquals(label, document.ids[i] < prompt ? -100 : document.ids[i]);
    });
  }
  const { truncatedPrompts, truncatedCompletions, splitTexts, allMasked } = statistics;
  return {
    ids: documents.map((document) => [...document.ids]),
    counts: [truncatedPrompts, truncatedCompletions, splitTexts, allMasked],
  };
}

Deno.test("what fits a sequence is left alone", () => {
  assertEquals(fitted(3, 5, 8), { ids: [[0, 1, 2, 3, 4, 5, 6, 7]], counts: [0, 0, 0, 0] });
});

Deno.test("a prompt too long is cut at its start, keeps its bos, and is counted", () => {
  assertEquals(fitted(6, 4, 8), { ids: [[0, 3, 4, 5, 6, 7, 8, 9]], counts: [1, 0, 0, 0] });
});

Deno.test("a completion is cut at its end once the prompt is down to a quarter", () => {
  assertEquals(fitted(6, 9, 8), { ids: [[0, 5, 6, 7, 8, 9, 10, 11]], counts: [1, 1, 0, 0] });
  assertEquals(fitted(1, 9, 8), { ids: [[0, 1, 2, 3, 4, 5, 6, 7]], counts: [0, 1, 0, 0] });
  assertEquals(fitted(2, 9, 2), { ids: [[1, 2]], counts: [1, 1, 0, 0] });
});

Deno.test("text is split so that every token but the first is a target once", () => {
  assertEquals(fitted(0, 10, 4), {
    ids: [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]],
    counts: [0, 0, 1, 0],
  });
  assertEquals(fitted(0, 6, 4).ids, [[0, 1, 2, 3], [3, 4, 5]]);
});

Deno.test("documents without a target are dropped and counted", () => {
  assertEquals(fitted(3, 0, 8), { ids: [], counts: [0, 0, 0, 1] });
  assertEquals(fitted(0, 1, 8), { ids: [], counts: [0, 0, 0, 1] });
  assertEquals(fitted(10, 0, 8), { ids: [], counts: [1, 0, 0, 1] });
});
