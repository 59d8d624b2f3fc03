/**
 * Chat templates: Jinja templates in a model's folder that turn conversations into text.
 *
 * @module
 */

import { Template } from "@huggingface/jinja";
import { join } from "node:path";
import { DataError, ModelError } from "../errors.ts";
import { exists } from "./exists.ts";
import { toFileError } from "./file_error.ts";
import { isJsonObject, type JsonFields } from "./json.ts";
import { specialToken } from "./special_tokens.ts";

/** A piece of a message's content, in the form of OpenAI's and transformers' messages. */
export interface ContentPart {
  /** What it is; only `text` can be trained on. */
  type: string;
  /** The text. */
  text?: string;
  /** What else the template may know. */
  [field: string]: unknown;
}

/**
 * One turn of a conversation. Every field reaches the template: `tool_calls`, `reasoning_content`,
 * `name` and what else it knows.
 */
export interface ChatMessage {
  /** Who speaks: `system`, `user`, `assistant`, `tool`, or what else the template knows. */
  role: string;
  /** What is said: text, or parts of it; null or absent where `tool_calls` say it. */
  content?: string | readonly ContentPart[] | null;
  /** 0 for an answer that is context and not learned, 1 (as without it) for one that is. */
  weight?: number;
  /** What else the template may know. */
  [field: string]: unknown;
}

/** The Jinja template that turns a model's conversations into text. */
export class ChatTemplate {
  /** The template. */
  readonly source: string;
  readonly #template: Template;
  readonly #variables: Record<string, string>;

  /**
   * Parses a template.
   *
   * @param source The template.
   * @param variables What it may name beside the messages, such as `bos_token`.
   * @throws {ModelError} if the template is not valid.
   */
  constructor(source: string, variables: Record<string, string> = {}) {
    this.source = source;
    this.#variables = variables;
    try {
      this.#template = new Template(source);
    } catch (error) {
      throw new ModelError(
        `Cannot use the chat template of the model: ${(error as Error).message}; correct it, or ` +
          `use prompt and completion rows`,
        { cause: error },
      );
    }
  }

  /**
   * The text of a conversation.
   *
   * @param messages The turns.
   * @param options `addGenerationPrompt` ends the text with what introduces the assistant's answer;
   * `variables` are what else the template may name, such as `tools`, `documents` or
   * `enable_thinking`.
   * @throws {DataError} if the template refuses the messages, as many do when the roles do not take
   * turns.
   */
  render(
    messages: readonly ChatMessage[],
    options: {
      addGenerationPrompt?: boolean;
      variables?: Readonly<Record<string, unknown>>;
    } = {},
  ): string {
    try {
      return this.#template.render({
        ...this.#variables,
        // None without a value, as transformers has them: templates test that, not whether they exist.
        tools: null,
        documents: null,
        ...options.variables,
        messages,
        add_generation_prompt: options.addGenerationPrompt ?? false,
      });
    } catch (error) {
      throw new DataError(
        `Cannot format a conversation of ${messages.length} messages: the chat template says ` +
          `"${(error as Error).message}"; correct the messages`,
        { cause: error },
      );
    }
  }
}

/**
 * Loads `chat_template.jinja` of a model folder, where transformers writes the template now, or
 * the one in `tokenizer_config.json`, where it used to; null when there is neither.
 *
 * @param config The folder's `tokenizer_config.json`.
 * @throws {FileError} if the file cannot be read.
 * @throws {ModelError} if the template is not valid.
 */
export async function loadChatTemplate(
  folder: string,
  config: JsonFields,
): Promise<ChatTemplate | null> {
  const source = await templateFile(folder) ?? templateInConfig(config);
  if (source === undefined) return null;
  const variables: Record<string, string> = {};
  for (const name of ["bos_token", "eos_token", "pad_token", "unk_token"]) {
    const token = specialToken(name, config);
    if (token !== null) variables[name] = token;
  }
  return new ChatTemplate(source, variables);
}

async function templateFile(folder: string): Promise<string | undefined> {
  const path = join(folder, "chat_template.jinja");
  if (!await exists(path)) return undefined;
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    throw toFileError("read", path, error);
  }
}

/** A model may have several named templates; `default` is the one for plain conversations. */
function templateInConfig(config: JsonFields): string | undefined {
  const value = config.raw("chat_template");
  if (value === undefined || typeof value === "string") return value;
  const named = Array.isArray(value) ? value : [];
  const found = named.find((entry) => isJsonObject(entry) && entry.name === "default");
  if (typeof found?.template === "string") return found.template;
  throw config.error("chat_template", "a template, or a list with one named default");
}
