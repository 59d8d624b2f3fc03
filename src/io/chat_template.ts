/**
 * Chat templates: Jinja templates in a model's folder that turn conversations into text.
 *
 * @module
 */

import { checkList, checkObject, checkOptions, checkText, refuseKind } from "../checks.ts";
import { join } from "node:path";
import { DataError, ModelError, OptionError } from "../errors.ts";
import { CHAT_TEMPLATE_NAMES, CHAT_TEMPLATES, type ReadyTemplate } from "./chat_templates.ts";
import { exists } from "./exists.ts";
import { dateTeller } from "./jinja_globals.ts";
import { Jinja, type Rendered } from "./jinja.ts";
import { BudgetError } from "./jinja_budget.ts";
import { isJsonObject, type JsonFields } from "./json.ts";
import { specialToken } from "./special_tokens.ts";
import { LARGEST_WRITTEN, readTextFile } from "./text_file.ts";

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

/** What helps where there is no template, for messages of errors. */
export const CHAT_TEMPLATE_HINT = "choose one by chatTemplate, which takes " +
  `${CHAT_TEMPLATE_NAMES.join(", ")} or a Jinja file`;

/** What else than the messages a template is given. */
export interface RenderOptions {
  /** Ends the text with what introduces the assistant's answer. Default false. */
  addGenerationPrompt?: boolean;
  /** What else the template may name, such as `tools`, `documents` or `enable_thinking`. */
  variables?: Readonly<Record<string, unknown>>;
}

/** The Jinja template that turns a model's conversations into text. */
export class ChatTemplate {
  /** The template. */
  readonly source: string;
  readonly #where: string;
  readonly #template: Jinja;
  readonly #variables: Record<string, unknown>;

  /**
   * Parses a template.
   *
   * @param source The template.
   * @param variables What it may name beside the messages, such as `bos_token`.
   * @param where Where it stands, for messages, behind "the chat template".
   * @throws {ModelError} if the template is not valid.
   */
  constructor(source: string, variables: Record<string, unknown> = {}, where = "of the model") {
    this.source = source;
    this.#where = where;
    this.#variables = variables;
    try {
      this.#template = new Jinja(source);
    } catch (error) {
      throw new ModelError(
        `Cannot use the chat template ${where}: ${(error as Error).message}; correct it, ` +
          `${CHAT_TEMPLATE_HINT}, or use prompt and completion rows`,
        { cause: error },
      );
    }
  }

  /**
   * The text of a conversation. It holds every special token, so it is to be encoded without adding
   * any.
   *
   * @param messages The turns.
   * @throws {OptionError} for what is no message, or an option that is unknown or of another kind.
   * @throws {DataError} if the template refuses the messages, as many do when the roles do not take
   * turns.
   * @throws {ModelError} if rendering them costs more than any template should.
   */
  render(messages: readonly ChatMessage[], options: RenderOptions = {}): string {
    checkList("messages", messages, "messages");
    for (const message of messages) {
      if (isJsonObject(message) && typeof message.role === "string") continue;
      refuseKind("a message", message, "an object with role and content");
    }
    checkOptions("render", options, { addGenerationPrompt: true, variables: true });
    if (options.variables !== undefined) checkObject("variables", options.variables);
    return this.#render(messages, options).text;
  }

  /** Whether it names the date, so that its texts change with the day. */
  get namesDate(): boolean {
    return this.source.includes("strftime_now");
  }

  /**
   * Where the text of a conversation is what the model writes, as the template says itself with
   * `{% generation %}` blocks.
   *
   * @returns UTF-16 ranges of the text, or null if the template has no such blocks.
   * @throws {DataError} if the template refuses the messages.
   */
  generated(
    messages: readonly ChatMessage[],
    variables?: Readonly<Record<string, unknown>>,
  ): [start: number, end: number][] | null {
    return this.#template.marksGenerated ? this.#render(messages, { variables }).generated : null;
  }

  /**
   * What the template writes after an answer, such as `<|im_end|>` and a line feed; empty if it writes
   * nothing, or takes no plain conversation.
   */
  get closing(): string {
    const answered = (content: string) =>
      this.render([{ role: "user", content: "Hi" }, { role: "assistant", content }]);
    try {
      const [a, b] = [answered("Yes!"), answered("No?")];
      let length = 0;
      while (length < a.length && a.at(-1 - length) === b.at(-1 - length)) length++;
      return length === a.length ? "" : a.slice(a.length - length);
    } catch (error) {
      if (error instanceof DataError) return "";
      throw error;
    }
  }

  #render(messages: readonly ChatMessage[], options: RenderOptions): Rendered {
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
      if (error instanceof BudgetError) {
        throw new ModelError(
          `Cannot use the chat template ${this.#where} for a conversation of ${messages.length} ` +
            `messages: ${error.message}; correct the template, or ${CHAT_TEMPLATE_HINT}`,
          { cause: error },
        );
      }
      throw new DataError(
        `Cannot format a conversation of ${messages.length} messages: the chat template says ` +
          `"${(error as Error).message}"; correct the messages`,
        { cause: error },
      );
    }
  }
}

/**
 * Loads the template of a model: the one that is chosen, else `chat_template.jinja` of its folder, where
 * transformers writes the template now, or the one in `tokenizer_config.json`, where it used to; null
 * when there is none.
 *
 * @param config The folder's `tokenizer_config.json`.
 * @param chosen A ready-made template's name, the path of a file, or a template.
 * @param hasToken Whether the tokenizer has a token.
 * @param date The day that the template is told, such as `2026-11-28`. Default: that of rendering.
 * @throws {FileError} if the file cannot be read.
 * @throws {ModelError} if the template is not valid.
 * @throws {OptionError} if there is no such template, or it needs tokens that the tokenizer lacks.
 */
export async function loadChatTemplate(
  folder: string,
  config: JsonFields,
  chosen: string | undefined,
  hasToken: (token: string) => boolean,
  date?: string,
): Promise<ChatTemplate | null> {
  const tokens: Record<string, string> = {};
  for (const name of ["bos_token", "eos_token", "pad_token", "unk_token"]) {
    const token = specialToken(name, config);
    if (token !== null) tokens[name] = token;
  }
  const variables = date === undefined ? tokens : { ...tokens, strftime_now: dateTeller(date) };
  if (chosen !== undefined) {
    checkText("chatTemplate", chosen);
    const source = await chosenTemplate(chosen, tokens, hasToken);
    const where = source === chosen ? "that was chosen" : `"${chosen}"`;
    return new ChatTemplate(source, variables, where);
  }
  const path = join(folder, "chat_template.jinja");
  const file = await templateFile(path);
  if (file !== undefined) return new ChatTemplate(file, variables, `in "${path}"`);
  const source = templateInConfig(config);
  return source === undefined ? null : new ChatTemplate(source, variables, `in ${config.where}`);
}

async function chosenTemplate(
  chosen: string,
  variables: Record<string, string>,
  hasToken: (token: string) => boolean,
): Promise<string> {
  if (chosen.includes("{%") || chosen.includes("{{")) return chosen;
  if (Object.hasOwn(CHAT_TEMPLATES, chosen)) {
    const { source, tokens }: ReadyTemplate = CHAT_TEMPLATES[chosen];
    const missing = tokens.filter((token) => !hasToken(token));
    if (missing.length === 0 && (!source.includes("eos_token") || variables.eos_token)) {
      return source;
    }
    const lack = missing.length > 0 ? missing.join(", ") : "that ends a text (eos_token)";
    const fitting = CHAT_TEMPLATE_NAMES.filter((name) =>
      CHAT_TEMPLATES[name].tokens.every(hasToken)
    );
    throw new OptionError(
      `Cannot use the chat template ${chosen} as the tokenizer has no token ${lack}: choose ` +
        `${fitting.join(", ")} or a Jinja file`,
    );
  }
  if (await exists(chosen)) return await readTextFile(chosen, LARGEST_WRITTEN);
  throw new OptionError(
    `Cannot use the chat template "${chosen}" as there is no such file, and none of that name: ` +
      `choose ${CHAT_TEMPLATE_NAMES.join(", ")} or a Jinja file`,
  );
}

async function templateFile(path: string): Promise<string | undefined> {
  return await exists(path) ? await readTextFile(path, LARGEST_WRITTEN) : undefined;
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
