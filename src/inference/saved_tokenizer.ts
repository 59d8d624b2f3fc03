/**
 * What training settled about texts and a saved model must know: the chat template that was chosen, and
 * the tokens that end a text.
 *
 * @module
 */

import { join } from "node:path";
import { exists } from "../io/exists.ts";
import { readJson } from "../io/json.ts";
import type { Tokenizer } from "../io/tokenizer.ts";

/** The part of a tokenizer that is saved. */
export type SavedTokenizer = Pick<Tokenizer, "endTokenIds" | "chatTemplate" | "options">;

/** Writes a chosen chat template where transformers reads it; a model's own is copied with its files. */
export async function writeChatTemplate(
  { options, chatTemplate }: SavedTokenizer,
  folder: string,
): Promise<void> {
  if (options.chatTemplate === undefined) return;
  await Deno.writeTextFile(join(folder, "chat_template.jinja"), chatTemplate!.source);
}

/**
 * Names every token that training ends a text or an answer with in `generation_config.json`, which
 * other tools stop by.
 *
 * @param known Those that the model's configuration names.
 */
export async function writeEnds(
  { endTokenIds }: SavedTokenizer,
  known: readonly number[],
  folder: string,
): Promise<void> {
  const missing = endTokenIds.filter((id) => !known.includes(id));
  if (missing.length === 0) return;
  const path = join(folder, "generation_config.json");
  const found = await exists(path) ? await readJson(path) as Record<string, unknown> : {};
  const ends = { ...found, eos_token_id: [...known, ...missing] };
  await Deno.writeTextFile(path, JSON.stringify(ends, null, 2) + "\n");
}
