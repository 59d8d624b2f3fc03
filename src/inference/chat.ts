/**
 * A conversation with a model: what was said goes through its chat template again for each answer.
 *
 * @module
 */

import { checkOptions, checkString, checkText } from "../checks.ts";
import type { ChatMessage } from "../io/tokenizer.ts";
import { GENERATE_NAMES, type GenerateOptions, generateTokens } from "./generate.ts";
import type { Model } from "./model.ts";
import { expectModel } from "./loaded_model.ts";
import { renderPrompt } from "./prompt.ts";

/**
 * A conversation.
 *
 * @example
 * ```ts
 * import { Chat, Model, requestDevice } from "@falqon/webgpu";
 *
 * await using device = await requestDevice();
 * using model = await Model.load("./model", { device });
 * const chat = new Chat(model);
 * for await (const piece of chat.send("Who are you?")) console.log(piece);
 * for await (const piece of chat.send("And who am I?")) console.log(piece);
 * ```
 */
export class Chat {
  /** What was said: the system's message, where there is one, then turns of user and assistant. */
  readonly messages: ChatMessage[] = [];
  #cut = false;
  #system: string | undefined;

  /**
   * Begins a conversation.
   *
   * @param options `system`: what the model is told before anything is said. Default nothing.
   * @throws {OptionError} for what is no model, or an option that is unknown or of another kind.
   */
  constructor(readonly model: Model, options: { system?: string } = {}) {
    expectModel(model);
    checkOptions("Chat", options, { system: true });
    this.reset(options.system);
  }

  /** Whether the last answer ended at its most tokens or at the end of the model's context. */
  get wasCut(): boolean {
    return this.#cut;
  }

  /**
   * Begins anew.
   *
   * @param system Default: what it was told before.
   */
  reset(system: string | undefined = this.system): void {
    if (system !== undefined) checkString("system", system);
    this.messages.length = 0;
    this.#system = system;
    if (system !== undefined) this.messages.push({ role: "system", content: system });
  }

  /** What the model was told before anything was said. */
  get system(): string | undefined {
    return this.#system;
  }

  /**
   * Says something, and gives the answer as it comes. Where the answer is stopped, what came of it stays
   * part of the conversation; where none came, neither question nor answer do.
   *
   * @throws {OptionError} if the model has no chat template, the conversation fills the model's context,
   * or for options that are unknown or out of range.
   * @throws {DataError} if the template refuses the messages.
   */
  async *send(text: string, options: GenerateOptions = {}): AsyncGenerator<string, void> {
    checkText("text", text);
    checkOptions("send", options, GENERATE_NAMES);
    const { model, messages } = this;
    const turn = messages.length;
    messages.push({ role: "user", content: text });
    const answer = { role: "assistant", content: "" };
    let ended = false;
    try {
      const prompt = await renderPrompt(model.tokenizer, messages) as readonly number[];
      const room = model.config.maxPositionEmbeddings - prompt.length;
      const most = Math.min(options.maxNewTokens ?? 128, room);
      const stream = model.tokenizer.stream(prompt);
      let count = 0;
      for await (const id of generateTokens(model, prompt, options)) {
        count++;
        const piece = stream.push(id);
        answer.content += piece;
        if (piece) yield piece;
      }
      const rest = stream.end();
      answer.content += rest;
      if (rest) yield rest;
      this.#cut = count >= most;
      ended = true;
    } finally {
      if (ended || answer.content !== "") messages.push(answer);
      else messages.length = turn;
    }
  }
}
