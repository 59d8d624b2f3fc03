import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { FileError } from "../../src/errors.ts";
import { mergeModel } from "../../src/inference/merge.ts";
import { ModelFiles } from "../../src/inference/model_files.ts";
import { readPeftAdapter } from "../../src/io/peft.ts";
import { withFolder } from "../support/io.ts";
import { writeTinyModel } from "../support/tiny_model.ts";

Deno.test("what would be copied beside a saved model is looked at before the model is loaded", () =>
  withFolder(async (folder) => {
    const model = join(folder, "model");
    await Deno.mkdir(join(model, "additional_chat_templates"), { recursive: true });
    await writeTinyModel(model);
    await Deno.writeTextFile(join(model, "LICENSE"), "words");
    await Deno.writeTextFile(join(model, "additional_chat_templates/rag.jinja"), "x");
    await Deno.writeTextFile(join(model, "modeling_evil.py"), "raise SystemExit");
    await mergeModel(model, join(folder, "merged"));
    const copied = [...Deno.readDirSync(join(folder, "merged"))].map(({ name }) => name).sort();
    assertEquals(copied, [
      ...["LICENSE", "additional_chat_templates", "config.json", "model.safetensors"],
      "tokenizer.json",
    ]);
    const wrong: [name: string, target: string, problem: string][] = [
      ["NOTICE", "/dev/zero", "is no plain file"],
      ["vocab.json", "/nowhere", "there is no such file"],
      ["merges.txt", folder, "is no plain file"],
      ["additional_chat_templates/other.jinja", "/dev/zero", "is no plain file"],
    ];
    for (const [name, target, problem] of wrong) {
      await Deno.symlink(target, join(model, name));
      const { message } = await assertRejects(() => ModelFiles.open(model), FileError, problem);
      assertStringIncludes(message, name);
      await Deno.remove(join(model, name));
    }
    const large = join(model, "LICENSE-large");
    await Deno.writeTextFile(large, "x");
    await Deno.truncate(large, 3e8);
    await assertRejects(
      () => ModelFiles.open(model),
      FileError,
      "has 300000000 bytes, more than any",
    );
  }));

Deno.test("pickles are named and never read", () =>
  withFolder(async (folder) => {
    await writeTinyModel(folder);
    await Deno.remove(join(folder, "model.safetensors"));
    const words =
      "which may run any code when it is loaded and is not read: convert it to safetensors";
    for (const name of ["pytorch_model.bin", "model.pt", "consolidated.00.pth"]) {
      await Deno.symlink("/dev/zero", join(folder, name));
      await assertRejects(() => ModelFiles.open(folder), FileError, `, but ${name}, ${words}`);
      await Deno.remove(join(folder, name));
    }
    const config = { peft_type: "LORA", r: 4, lora_alpha: 8, target_modules: ["q_proj"] };
    await Deno.writeTextFile(join(folder, "adapter_config.json"), JSON.stringify(config));
    await Deno.writeTextFile(join(folder, "adapter_model.bin"), "x");
    await assertRejects(
      () => readPeftAdapter(folder),
      FileError,
      `, but adapter_model.bin, ${words}`,
    );
  }));
