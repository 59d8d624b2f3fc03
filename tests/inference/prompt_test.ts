import { assertEquals, assertRejects } from "@std/assert";
import { join } from "node:path";
import { DataError, OptionError } from "../../src/errors.ts";
import { renderPrompt } from "../../src/inference/prompt.ts";
import { Tokenizer } from "../../src/io/tokenizer.ts";
import { withFolder } from "../support/io.ts";
import { writeTinyModel } from "../support/tiny_model.ts";

const TEMPLATE = "{{ bos_token }}{% for m in messages %}" +
  "{% if m.role == 'system' %}{{ raise_exception('No system, please') }}{% endif %}" +
  "<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}";

/** A tokenizer of a tiny model, with a chat template or without. */
async function load(folder: string, template: string | null): Promise<Tokenizer> {
  await writeTinyModel(folder);
  const config = { bos_token: "<s>", ...(template !== null && { chat_template: template }) };
  await Deno.writeTextFile(join(folder, "tokenizer_config.json"), JSON.stringify(config));
  return await Tokenizer.load(folder);
}

Deno.test("messages are rendered up to the assistant's answer, with one token that begins the text", () =>
  withFolder(async (folder) => {
    const tokenizer = await load(folder, TEMPLATE);
    const ids = await renderPrompt(tokenizer, [
      { role: "user", content: "Hi" },
      { role: "assistant", content: "Yes?" },
      { role: "user", content: "Why" },
    ]);
    const text = "<user>Hi<assistant>Yes?<user>Why<assistant>";
    assertEquals(ids, tokenizer.encode(text), "the tokenizer begins a text with <s> by itself");
    assertEquals([ids[0], [...ids].lastIndexOf(tokenizer.bosTokenId as never)], [1, 0]);
  }));

Deno.test("texts and ids are prompts as they are, empty ones too", () =>
  withFolder(async (folder) => {
    const tokenizer = await load(folder, TEMPLATE);
    for (const prompt of ["", "Hi", [], [1, 2, 3]]) {
      assertEquals(await renderPrompt(tokenizer, prompt), prompt);
    }
  }));

Deno.test("messages are refused without a chat template, or by it", () =>
  withFolder(async (folder) => {
    const messages = [{ role: "system", content: "Be kind" }];
    const none = await load(folder, null);
    await assertRejects(
      () => renderPrompt(none, messages),
      OptionError,
      "Cannot continue a conversation of 1 messages as the model has no chat template",
    );
    const strict = await load(folder, TEMPLATE);
    await assertRejects(() => renderPrompt(strict, messages), DataError, "No system, please");
  }));
