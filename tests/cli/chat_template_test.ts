/** The flag --chat-template from training to what was saved. */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { withFolder } from "../support/io.ts";
import { runCommand } from "../support/terminal.ts";
import { writeTinyModel } from "../support/tiny_model.ts";

const rows = [{
  messages: [{ role: "user", content: "Hi" }, { role: "assistant", content: "Yo" }],
}];

Deno.test("the commands of docs/CHAT.md run", () =>
  withFolder(async (folder) => {
    await Deno.mkdir(join(folder, "model"));
    await writeTinyModel(join(folder, "model"));
    const config = { bos_token: "<s>", eos_token: "</s>" };
    await Deno.writeTextFile(join(folder, "model/tokenizer_config.json"), JSON.stringify(config));
    await Deno.writeTextFile(join(folder, "chats.jsonl"), JSON.stringify(rows[0]) + "\n");
    const page = await Deno.readTextFile(new URL("../../docs/CHAT.md", import.meta.url));
    const lines = [...page.matchAll(/^deno run -A jsr:@falqon\/webgpu\/cli (.+)$/gm)];
    assertEquals(lines.length, 2);
    for (const [, line] of lines) {
      const placed = line.replaceAll("./", `${folder}/`).replaceAll(" chats", ` ${folder}/chats`);
      const { code, err } = await runCommand(placed);
      assertEquals(code, 0, `${line}\n${err}`);
    }
  }));

Deno.test("a chosen chat template trains, evaluates, and goes with the model and the run", () =>
  withFolder(async (folder) => {
    const [model, data, out] = ["model", "rows.json", "out"].map((name) => join(folder, name));
    await Deno.mkdir(model);
    await writeTinyModel(model);
    const config = { bos_token: "<s>", eos_token: "</s>" };
    await Deno.writeTextFile(join(model, "tokenizer_config.json"), JSON.stringify(config));
    await Deno.writeTextFile(data, JSON.stringify(rows));
    const common = `--data ${data} --batch-size 1 --sequence-length 64`;
    const train = `train --model ${model} ${common} --method full --steps 1 --output ${out}`;

    const without = await runCommand(train);
    assertEquals(without.code, 1);
    assertStringIncludes(
      without.err,
      "the model has no chat template: choose one by --chat-template",
    );
    const unfit = await runCommand(`${train} --chat-template llama3 --overwrite`);
    assertEquals(unfit.code, 1);
    assertStringIncludes(unfit.err, "the tokenizer has no token <|start_header_id|>");

    const shown = await runCommand(`${train} --chat-template zephyr --show-rows 1`);
    assertEquals(shown.code, 0, shown.err);
    assertStringIncludes(shown.out, "<|assistant|>\n⟦Yo</s>");

    const file = join(folder, "own.jinja");
    const source =
      "{% for m in messages %}<{{ m.role }}>{{ m.content }}{{ eos_token }}{% endfor %}" +
      "{% if add_generation_prompt %}<assistant>{% endif %}";
    await Deno.writeTextFile(file, source);
    const own = await runCommand(`${train} --chat-template ${file} --overwrite`);
    assertEquals(own.code, 0, own.err);
    assertEquals(await Deno.readTextFile(join(out, "chat_template.jinja")), source);
    const options = JSON.parse(await Deno.readTextFile(join(out, "training_options.json")));
    assertEquals(options.chatTemplate, file);

    const loss = async (line: string) => {
      const { code, out, err } = await runCommand(line);
      assertEquals(code, 0, err);
      return JSON.parse(out.trim().split("\n").at(-1)!);
    };
    const saved = await loss(`eval --model ${out} ${common}`);
    assertEquals(await loss(`eval --model ${out} ${common} --chat-template ${file}`), saved);
    const other = await loss(`eval --model ${out} ${common} --chat-template zephyr`);
    assertEquals(other.tokens, saved.tokens + 1, "Yo and its end, and here a line feed");
    const said = await runCommand(
      `generate --model ${out} --chat-template zephyr --prompt Hi --max-new-tokens 1`,
    );
    assertEquals(said.code, 0, said.err);
  }));
