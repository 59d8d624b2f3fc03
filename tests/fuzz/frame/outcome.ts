/**
 * Runs one input and tells what happened to it.
 *
 * @module
 */

import { FalqonError } from "../../../src/errors.ts";
import { type Fuzzing, Nonsense, type Outcome } from "./target.ts";

/** What happened to an input. */
export interface Result {
  outcome: Exclude<Outcome, "hang">;
  /** The error, with its stack; "" if there was none. */
  error: string;
  /** What a developer is told, in one line. */
  problem: string;
}

/** Words of the runtime, which say nothing to a user, and of values put into sentences as they are. */
const NO_SENTENCE =
  /Cannot (read|set) propert|is not a function|is not iterable|is not defined|\[object Object\]|Maximum call stack|Invalid (array|typed array|string) length|circular structure|\(intermediate value\)/;
/** A sentence about a file does not repeat the file. */
const MAX_SENTENCE = 2000;

/** Runs an input. */
export async function tryInput(fuzzing: Fuzzing, input: unknown): Promise<Result> {
  try {
    const running = fuzzing.run(input);
    if (running instanceof Promise) await running; // a sync input costs no turn
    return { outcome: "accepted", error: "", problem: "" };
  } catch (error) {
    return classify(error);
  }
}

/** What an error is to a user. */
export function classify(error: unknown): Result {
  if (!(error instanceof Error)) {
    return {
      outcome: "unnamed",
      error: Deno.inspect(error),
      problem: "no error was thrown but a value",
    };
  }
  const stack = error.stack ?? String(error);
  const cause = error.cause instanceof Error ? `\nCaused by: ${error.cause.stack}` : "";
  const result = (outcome: Result["outcome"], problem: string) => ({
    outcome,
    error: stack + cause,
    problem,
  });
  if (error instanceof Nonsense) return result("nonsense", error.message);
  if (!(error instanceof FalqonError)) return result("unnamed", `${error.name}: ${error.message}`);
  const strange = NO_SENTENCE.exec(error.message);
  if (strange) return result("unnamed", `"${strange[0]}" in a sentence: ${error.message}`);
  if (error.message.length > MAX_SENTENCE) {
    return result("unnamed", `a sentence of ${error.message.length} characters: ${error.message}`);
  }
  return result("named", error.message);
}

/** Where an error arose: its first place in `src/`, without which findings of one cause cannot be told from others. */
export function placeOf(stack: string): string {
  return /\/(src\/[^\s:)]+:\d+)/.exec(stack)?.[1] ?? "";
}

/** An input as text. */
export function showInput(fuzzing: Fuzzing, input: unknown): string {
  if (fuzzing.show) return fuzzing.show(input);
  if (typeof input === "string") return input;
  if (input instanceof Uint8Array) return showBytes(input);
  return Deno.inspect(input, { depth: 20, strAbbreviateSize: 100_000, iterableLimit: 1000 });
}

/** Bytes with their offsets, as hexadecimal and as text. */
export function showBytes(bytes: Uint8Array): string {
  const lines = [`${bytes.length} bytes`];
  for (let at = 0; at < Math.min(bytes.length, 4096); at += 16) {
    const row = bytes.subarray(at, at + 16);
    const hex = [...row].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const text = [...row].map((byte) => byte >= 32 && byte < 127 ? String.fromCharCode(byte) : ".");
    lines.push(`${at.toString(16).padStart(6, "0")}  ${hex.padEnd(47)}  ${text.join("")}`);
  }
  if (bytes.length > 4096) lines.push("…");
  return lines.join("\n");
}
