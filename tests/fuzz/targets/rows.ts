/**
 * Rows of every format through recognition, the chat template and tokens: what is accepted has values of the right types,
 * and every answer that is to be learned is among the targets.
 */

import { Dataset } from "../../../src/data/dataset.ts";
import { encodeRows } from "../../../src/data/encode_rows.ts";
import {
  type Example,
  IGNORED_LABEL,
  type RawRow,
  type TokenEncoder,
} from "../../../src/data/types.ts";
import { ChatTemplate } from "../../../src/io/chat_template.ts";
import { CHAT_TEMPLATES } from "../../../src/io/chat_templates.ts";
import { mutateJson, nonsenseValue } from "../frame/mutate_json.ts";
import type { FuzzRandom } from "../frame/random.ts";
import { type FuzzTarget, Nonsense } from "../frame/target.ts";

const CALL = { type: "function", function: { name: "f", arguments: { a: 1 } } };
const ROWS = [
  { text: "A text." },
  { prompt: "Where?", completion: " Here." },
  { instruction: "Add.", input: "1, 2", output: "3" },
  { instruction: "Add.", output: "3", system: "Be kind.", history: [["a", "b"]] },
  {
    messages: [{ role: "system", content: "s" }, { role: "user", content: "q1" }, {
      role: "assistant",
      content: "a1",
    }],
  },
  {
    messages: [
      { role: "user", content: "q1" },
      { role: "assistant", content: "a1", weight: 0 },
      { role: "user", content: [{ type: "text", text: "q2" }] },
      { role: "assistant", content: "a2", train: true },
    ],
    chat_template_kwargs: { enable_thinking: false },
  },
  {
    messages: [{ role: "user", content: "q" }, {
      role: "assistant",
      content: null,
      tool_calls: [CALL],
    }],
    tools: [CALL],
  },
  { conversations: [{ from: "human", value: "q3" }, { from: "gpt", value: "a3" }], system: "s" },
  {
    conversations: [{ from: "human", value: "q" }, {
      from: "function_call",
      value: '{"name":"f","arguments":{}}',
    }],
  },
  { prompt: [{ role: "user", content: "q4" }], completion: [{ role: "assistant", content: "a4" }] },
  { input_ids: [5, 6, 7], labels: [-100, 6, 7], attention_mask: [1, 1, 1] },
  { input_ids: "[5, 6, 7, 0]", completion_mask: [0, 1, 1, 0], attention_mask: [1, 1, 1, 0] },
];

interface Input {
  row: unknown;
  kind: "object" | "json" | "table";
  columns: Record<string, string>;
  trainOnPrompt: boolean;
}

const MAPS: readonly Record<string, string>[] = [
  { prompt: "instruction", completion: "output" },
  { text: "prompt" },
  { messages: "conversations" },
];

function make(random: FuzzRandom): Input {
  const row = random.chance(0.03) ? nonsenseValue(random) : mutateJson(random, ROWS);
  return {
    row: random.chance(0.1) ? withText(random, row) : row,
    kind: random.pick(["object", "json", "json", "table"] as const),
    columns: random.chance(0.1) ? random.pick(MAPS) : {},
    trainOnPrompt: random.chance(0.2),
  };
}

/** One of the values as JSON text, as tables have them. */
function withText(random: FuzzRandom, row: unknown): unknown {
  if (typeof row !== "object" || row === null || Object.keys(row).length === 0) return row;
  const key = random.pick(Object.keys(row));
  return { ...row, [key]: JSON.stringify((row as Record<string, unknown>)[key]) };
}

/** A token per byte of UTF-8: 0 pad, 1 begin, 2 end, then the bytes. */
const encoder: TokenEncoder = {
  encodeBatch: (texts) =>
    Promise.resolve(
      texts.map((text) => Array.from(new TextEncoder().encode(text), (byte) => byte + 3)),
    ),
  around: () => ({ before: [1], after: [] }),
  ...{ bosTokenId: 1, eosTokenId: 2, padTokenId: 0 },
  chatTemplate: new ChatTemplate(CHAT_TEMPLATES.chatml.source),
};

function decode(ids: Iterable<number>): string {
  return new TextDecoder().decode(Uint8Array.from([...ids].filter((id) => id > 2), (id) => id - 3));
}

/** Values of other types than the format's have not become an example. */
function checkExample(example: Example): void {
  const isText = (value: unknown) => typeof value === "string";
  const wrong = (what: string) => {
    throw new Nonsense(`${what} is of another type`);
  };
  if (example.kind === "text" && !isText(example.text)) wrong("the text");
  if (example.kind === "completion" && !(isText(example.prompt) && isText(example.completion))) {
    wrong("the prompt or the completion");
  }
  if (example.kind !== "chat") return;
  example.messages.forEach(({ role, content, tool_calls: calls, weight }, i) => {
    if (!isText(role)) wrong(`the role of message ${i}`);
    if (weight !== undefined && weight !== 0 && weight !== 1) wrong(`the weight of message ${i}`);
    if (Array.isArray(content)) return;
    const isAbsent = content === null || content === undefined;
    if (!isText(content) && !isAbsent) wrong(`the content of message ${i}`);
    if (content === "" && Array.isArray(calls) && calls.length === 0) {
      wrong(`a call that is none in message ${i}`);
    }
  });
}

/** What an assistant says in messages that are plain, and is to be learned. */
function answersOf(row: unknown): string[] {
  const { messages, ...others } = (row ?? {}) as { messages?: unknown };
  if (!Array.isArray(messages) || Object.keys(others).length > 0) return [];
  const plain = messages.every((message) =>
    message !== null && typeof message === "object" && typeof message.content === "string" &&
    Object.keys(message).every((key) => ["role", "content"].includes(key))
  );
  // What the template trims is not an answer's.
  // deno-lint-ignore no-control-regex
  const space = /^[\s\u001c-\u001f\u0085]+|[\s\u001c-\u001f\u0085]+$/g;
  return plain
    ? messages.filter(({ role }) => role === "assistant").map(({ content }) =>
      content.replace(space, "")
    )
    : [];
}

export const target: FuzzTarget<Input> = {
  about: "rows: keys, conversations, tokens",
  cost: "cheap",
  prepare: () => ({
    make,
    async run({ row, kind, columns, trainOnPrompt }) {
      const dataset = Dataset.from([], { columns });
      const raw: RawRow = kind === "object"
        ? { index: 0, line: 0, text: null, value: row }
        : { index: 0, line: 1, text: JSON.stringify(row) ?? "null", kind };
      const example = dataset.parse(raw);
      checkExample(example);
      const [{ result }] = await encodeRows([raw], dataset, encoder, trainOnPrompt);
      if (result instanceof Error) throw result;
      let targets = "";
      for (const { ids, labels, promptLength } of result) {
        if (ids.length !== labels.length) {
          throw new Nonsense(`${ids.length} ids, ${labels.length} labels`);
        }
        if (!(promptLength >= 0 && promptLength <= ids.length)) {
          throw new Nonsense(`a prompt of ${promptLength}`);
        }
        labels.forEach((label, i) => {
          if (label === IGNORED_LABEL || example.kind === "ids" || label === ids[i]) return;
          throw new Nonsense(`label ${i} is ${label}, and the token ${ids[i]}`);
        });
        targets += decode(Array.from(labels).filter((label) => label !== IGNORED_LABEL));
      }
      if (example.kind !== "chat") return;
      const lost = answersOf(row).find((answer) =>
        !targets.includes(new TextDecoder().decode(new TextEncoder().encode(answer)))
      );
      if (lost !== undefined) {
        throw new Nonsense(`the answer ${JSON.stringify(lost)} is not learned`);
      }
    },
  }),
};
