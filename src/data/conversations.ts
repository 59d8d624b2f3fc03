/**
 * Conversations in the forms that data sets have them: messages, ShareGPT's turns, prompts and
 * completions that are lists of messages, LLaMA-Factory's history.
 *
 * @module
 */

import { DataError } from "../errors.ts";
import type { ChatMessage } from "../io/chat_template.ts";
import { parseJson } from "../io/json.ts";
import { describe, objects, type Row, string, structured, withoutNulls } from "./row_values.ts";
import type { ChatExample } from "./types.ts";

/** Who may speak. A misspelt assistant would otherwise be an answer that is never learned. */
const ROLES = ["system", "developer", "user", "assistant", "tool", "function", "ipython"];

/** Who speaks in ShareGPT's turns. */
const SHAREGPT_ROLES: Readonly<Record<string, string>> = {
  human: "user",
  gpt: "assistant",
  chatgpt: "assistant",
  bing: "assistant",
  bard: "assistant",
  model: "assistant",
  observation: "tool",
  function_response: "tool",
  tool_response: "tool",
  function_call: "assistant",
  tool_call: "assistant",
};

/** Columns beside a conversation that the template may name. */
const VARIABLES = ["tools", "documents"] as const;

/**
 * The example of a conversation.
 *
 * @param learnFrom Answers before this message are context only.
 */
function chat(row: Row, where: string, messages: ChatMessage[], learnFrom?: number): ChatExample {
  const variables: Record<string, unknown> = {};
  for (const key of VARIABLES) {
    if (row[key] === undefined) continue;
    const given = objects(row, key, where);
    // An empty list says, as null does, that the row has none.
    if (given.length > 0) variables[key] = withoutNulls(given, where);
  }
  if (row.chat_template_kwargs !== undefined) {
    const given = structured(row, "chat_template_kwargs", where);
    if (typeof given !== "object" || given === null || Array.isArray(given)) {
      throw new DataError(
        `Cannot read ${where}: "chat_template_kwargs" is ${describe(given)}; give an object`,
      );
    }
    Object.assign(variables, withoutNulls(given, where));
  }
  return {
    kind: "chat",
    messages: withSystem(row, where, messages),
    ...(Object.keys(variables).length > 0 && { variables }),
    ...(learnFrom !== undefined && {
      learnFrom: learnFrom + Number(messages[0].role !== "system" && hasSystem(row)),
    }),
  };
}

function hasSystem(row: Row): boolean {
  return row.system !== undefined && row.system !== "";
}

/** The messages after that of the column `system`. */
function withSystem(row: Row, where: string, messages: ChatMessage[]): ChatMessage[] {
  if (!hasSystem(row)) return messages;
  const content = string(row, "system", where);
  if (messages[0].role !== "system") return [{ role: "system", content }, ...messages];
  if (messages[0].content === content) return messages;
  throw new DataError(
    `Cannot read ${where}: it has a "system" column and another system message; keep one of them`,
  );
}

/** A row with a list of messages, or of ShareGPT's turns, in the column `key`. */
export function conversation(row: Row, key: string, where: string): ChatExample {
  return chat(row, where, messageList(row, key, where));
}

/** A row whose prompt and completion are lists of messages: only the completion is learned. */
export function promptMessages(row: Row, where: string): ChatExample {
  const prompt = messageList(row, "prompt", where);
  return chat(row, where, [...prompt, ...messageList(row, "completion", where)], prompt.length);
}

/** A question and its answer with earlier turns, a system prompt, tools, or all of them. */
export function turns(
  row: Row,
  { question, answer }: { question: string; answer: string },
  where: string,
): ChatExample {
  return chat(row, where, [
    ...earlierTurns(row, where),
    { role: "user", content: question },
    { role: "assistant", content: answer },
  ]);
}

function earlierTurns(row: Row, where: string): ChatMessage[] {
  const history = row.history === undefined ? [] : structured(row, "history", where);
  const pairs = Array.isArray(history) ? history : history === "" ? [] : [history];
  return pairs.flatMap((pair, i) => {
    if (!Array.isArray(pair) || pair.length !== 2 || !pair.every((it) => typeof it === "string")) {
      throw new DataError(
        `Cannot read ${where}: turn ${i} of "history" is ${describe(pair)}; give pairs of a ` +
          "question and an answer",
      );
    }
    const [question, answer] = pair;
    return [{ role: "user", content: question }, { role: "assistant", content: answer }];
  });
}

function messageList(row: Row, key: string, where: string): ChatMessage[] {
  const value = structured(row, key, where);
  if (!Array.isArray(value) || value.length === 0) {
    throw new DataError(
      `Cannot read ${where}: "${key}" is ${describe(value)}; give an array of turns`,
    );
  }
  return value.map((turn, i) => message(turn, i, where));
}

function message(turn: unknown, i: number, where: string): ChatMessage {
  const isObject = typeof turn === "object" && turn !== null && !Array.isArray(turn);
  const { content, ...given } = (isObject ? turn : {}) as Record<string, unknown>;
  const fields = withoutNulls(given, where);
  if (fields.role === undefined && fields.from !== undefined) {
    return shareGptTurn({ ...fields, ...(content !== undefined && { content }) }, i, where);
  }
  const { role } = fields;
  if (typeof role !== "string" || !ROLES.includes(role)) {
    throw new DataError(
      `Cannot read ${where}: the role of message ${i} is ${describe(role)}; ` +
        "give system, developer, user, assistant or tool",
    );
  }
  return withWeight(
    { role, ...checkedContent(content, fields, i, where), ...fields } as ChatMessage,
    i,
    where,
  );
}

/** Content as given: text, parts, or none where a tool is called. */
function checkedContent(
  content: unknown,
  fields: Record<string, unknown>,
  i: number,
  where: string,
): Pick<ChatMessage, "content"> {
  if (typeof content === "string") return { content };
  if (Array.isArray(content) && content.length > 0) {
    return { content: content.map((part) => withoutNulls(part, where)) };
  }
  const isAbsent = content === null || content === undefined;
  const saysMore = ["tool_calls", "function_call", "reasoning_content", "thinking"]
    .some((field) => fields[field] !== undefined);
  if (isAbsent && saysMore) return content === null ? { content } : {};
  throw new DataError(
    `Cannot read ${where}: the content of message ${i} is ${describe(content)}; give a string`,
  );
}

/** Checks the weight of a message, and reads `train` for it where that is given instead. */
function withWeight(message: ChatMessage, i: number, where: string): ChatMessage {
  const { weight, train } = message;
  if (weight === undefined) {
    return typeof train === "boolean" ? { ...message, weight: Number(train) } : message;
  }
  if (weight === 0 || weight === 1) return message;
  throw new DataError(
    `Cannot read ${where}: the weight of message ${i} is ${describe(weight)}; give 0 for an ` +
      "answer that is not learned, or 1",
  );
}

function shareGptTurn(turn: Record<string, unknown>, i: number, where: string): ChatMessage {
  const { from, value, ...others } = turn;
  const name = typeof from === "string" ? from.toLowerCase() : "";
  const role = Object.hasOwn(SHAREGPT_ROLES, name) ? SHAREGPT_ROLES[name] : name;
  if (!ROLES.includes(role)) {
    throw new DataError(
      `Cannot read ${where}: turn ${i} is from ${describe(from)}; give system, human, gpt, ` +
        "function_call or observation",
    );
  }
  if (typeof value !== "string") {
    throw new DataError(
      `Cannot read ${where}: the value of turn ${i} is ${describe(value)}; give a string`,
    );
  }
  const said = name === "function_call" || name === "tool_call"
    ? { content: "", tool_calls: toolCalls(value, i, where) }
    : { content: value };
  const twice = Object.keys(said).find((field) => others[field] !== undefined);
  if (twice !== undefined) {
    throw new DataError(
      `Cannot read ${where}: turn ${i} has a value and its own ${twice}; give one of them`,
    );
  }
  return withWeight({ role, ...said, ...others } as ChatMessage, i, where);
}

/** The calls that a turn holds as JSON: one, or a list. */
function toolCalls(value: string, i: number, where: string): unknown[] {
  let calls: unknown;
  try {
    calls = parseJson(value);
  } catch {
    calls = undefined;
  }
  const list = [calls].flat();
  if (list.length === 0) {
    throw new DataError(
      `Cannot read ${where}: turn ${i} calls a function, but its value is an empty list; give the call`,
    );
  }
  return list.map((call) => {
    const { name, arguments: given } = (call ?? {}) as Record<string, unknown>;
    if (typeof name !== "string") {
      throw new DataError(
        `Cannot read ${where}: turn ${i} calls a function, but its value is no JSON object with ` +
          "name and arguments; give that",
      );
    }
    return { type: "function", function: { name, arguments: given ?? {} } };
  });
}
