/**
 * The chat template that the flags of a command choose.
 *
 * @module
 */

import { join } from "node:path";
import { exists } from "../io/exists.ts";

/** The template that is given, else the one that was saved with the adapter, if one was. */
export async function chosenTemplate(
  { chatTemplate, adapter }: { chatTemplate?: string; adapter?: string },
): Promise<string | undefined> {
  if (chatTemplate !== undefined || adapter === undefined) return chatTemplate;
  const saved = join(adapter, "chat_template.jinja");
  return await exists(saved) ? saved : undefined;
}
