/** From a name on a hub to a model there: the commands against a hub on this machine. */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { main } from "../../src/cli/main.ts";
import { type Files, HubServer, TOKEN } from "../support/hub_server.ts";
import { inEnvironment } from "../support/hub_environment.ts";
import { withFolder } from "../support/io.ts";
import { runCommand, TestTerminal } from "../support/terminal.ts";
import { writeTinyModel } from "../support/tiny_model.ts";

const ROWS = Array.from({ length: 24 }, (_, i) => ({
  prompt: `What comes after ${"abcdefgh"[i % 8]}? `,
  completion: `It is ${"bcdefghi"[i % 8]}.`,
}));

function jsonl(rows: unknown[]): string {
  return rows.map((row) => JSON.stringify(row)).join("\n");
}

async function readAll(folder: string): Promise<Files> {
  const files: Files = {};
  for await (const { name } of Deno.readDir(folder)) {
    files[name] = await Deno.readFile(join(folder, name));
  }
  return files;
}

/** Runs a test in a folder of its own, with a hub that has a tiny model and rows. */
function withHub(test: (hub: HubServer, folder: string) => Promise<void>): Promise<void> {
  return withFolder(async (folder) => {
    await using hub = new HubServer();
    const model = join(folder, "source");
    await Deno.mkdir(model);
    await writeTinyModel(model);
    hub.add("org/tiny", await readAll(model), { tags: ["license:mit", "llama"] });
    hub.add("org/rows", {
      "train-a.jsonl": jsonl(ROWS.slice(0, 8)),
      "train-b.jsonl": jsonl(ROWS.slice(8, 16)),
      "test.jsonl": jsonl(ROWS.slice(16)),
    }, { kind: "datasets" });
    await inEnvironment(hub, join(folder, "home"), () => test(hub, folder));
  });
}

const SHAPE = "--batch-size 2 --sequence-length 40";

async function succeed(line: string, ...more: string[]): Promise<{ out: string; err: string }> {
  const result = await runCommand(line, ...more);
  assertEquals(result.code, 0, result.err);
  return result;
}

function lossOf(out: string): number {
  return JSON.parse(out.trim().split("\n").at(-1)!).loss;
}

Deno.test("train by names, use the adapter, push it, and use it by its name", () =>
  withHub(async (hub, folder) => {
    const out = join(folder, "out");
    const { err } = await succeed(
      `train --model org/tiny --data org/rows --eval-data org/rows:test --method lora --rank 4 --steps 4 ` +
        `--learning-rate 5e-3 --eval-every 2 --save-every 2 --output-dir ${out} ${SHAPE}`,
    );
    assertStringIncludes(err, "downloading org/tiny\ndownloaded ");
    assertStringIncludes(err, "note: of org/rows, train is read: 2 files\n");
    assertMatch(
      err,
      /note: org\/tiny from the hub: .+\/models--org--tiny\/snapshots\/[0-9a-f]{40}\n/,
    );
    assertMatch(err, /\ntraining org\/tiny@[0-9a-f]{7} by lora/);

    // What leads back to the model and the rows holds on any machine.
    const { model, data, evalData } = JSON.parse(
      await Deno.readTextFile(join(out, "training_options.json")),
    );
    assertMatch(model, /^org\/tiny@[0-9a-f]{40}$/);
    assertEquals([data, evalData], [["org/rows"], ["org/rows:test"]]);
    const adapter = JSON.parse(await Deno.readTextFile(join(out, "adapter_config.json")));
    assertEquals(`${adapter.base_model_name_or_path}@${adapter.revision}`, model);

    const local = await succeed(`eval --model ${out} --data org/rows:test ${SHAPE}`);
    assertStringIncludes(
      local.err,
      `note: "${out}" is an adapter of ${model}, which is loaded with it\n`,
    );
    const apart = await succeed(
      `eval --model org/tiny --adapter ${out} --data org/rows:test ${SHAPE}`,
    );
    assertEquals(lossOf(local.out), lossOf(apart.out));
    const tokens = async (data: string) =>
      JSON.parse((await succeed(`eval --model org/tiny ${data} ${SHAPE}`)).out.trim()).tokens;
    const all = await tokens("--data org/rows:test,org/rows:train");
    assertEquals(all, await tokens("--data org/rows:test --data org/rows"));
    assertEquals(all, await tokens("--data org/rows:test") + await tokens("--data org/rows:train"));
    const generated = await succeed(
      `generate --model ${out} --max-new-tokens 3 --seed 1 --prompt`,
      "Hi",
    );
    assert(generated.out.length > 1);
    const both = await runCommand(`eval --model ${out} --adapter ${out} --data org/rows:test`);
    assertMatch(
      both.err,
      /^error: Cannot use --model .+ with --adapter as it is an adapter itself/,
    );

    const inspected = await succeed(`inspect ${out} ${SHAPE}`);
    assertStringIncludes(inspected.out, "memory to train by lora, 2 rows of 40 tokens");
    const further = await succeed(
      `train --model ${out} --data org/rows --steps 1 --output-dir ${folder}/further ${SHAPE}`,
    );
    assertMatch(further.err, /\ntraining org\/tiny@[0-9a-f]{7} by lora/);
    assertStringIncludes(further.out, `adapter: ${folder}/further\n`);
    await succeed(`train --resume-from ${out} --steps 5`);

    const stranger = await runCommand(`push me/mine --model ${out}`);
    assertEquals(stranger.code, 1);
    assertMatch(
      stranger.err,
      /error: Cannot push "me\/mine" without an access token: make one .+ HF_TOKEN/,
    );
    Deno.env.set("HF_TOKEN", TOKEN);
    try {
      const pushed = await succeed(`push me/mine --model ${out} --private`);
      assertMatch(pushed.out, new RegExp(`^${hub.endpoint}/me/mine\ncommit [0-9a-f]{40}\n$`));
      assertStringIncludes(
        pushed.err,
        "pushed README.md, adapter_config.json, adapter_model.safetensors\n",
      );
      assertStringIncludes(pushed.err, "left out ");
      assertEquals(hub.access("me/mine"), "private");
      const files = hub.files("me/mine");
      assertEquals([...files.keys()].filter((path) => path !== ".gitattributes").sort(), [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
      ]);
      assertEquals(
        files.get("adapter_model.safetensors"),
        await Deno.readFile(join(out, "adapter_model.safetensors")),
      );
      const card = new TextDecoder().decode(files.get("README.md"));
      assertMatch(
        card,
        /^---\nbase_model: "org\/tiny"\nbase_model_relation: "adapter"\ndatasets:\n- "org\/rows"\nlibrary_name: "peft"\nlicense: "mit"\n/,
      );
      assertMatch(card, /trained with @falqon\/webgpu/);
      assertMatch(
        card,
        /\n\| steps \| 5 \|\n\| training loss, last steps \| \d\.\d{4} \|\n\| held-out loss before \| \d\.\d{4} \|\n\| held-out loss after \| \d\.\d{4} \|\n/,
      );
      assertMatch(
        card,
        /cli train \\\n {2}--model org\/tiny@[0-9a-f]{40} \\\n {2}--data org\/rows \\\n/,
      );
      assertMatch(card, /--method lora/);
      assert(!card.includes(folder), card); // nothing about this machine

      const trained = await succeed(`eval --model ${out} --data org/rows:test ${SHAPE}`);
      const fetched = await succeed(`eval --model me/mine --data org/rows:test ${SHAPE}`);
      assertEquals(lossOf(fetched.out), lossOf(trained.out));
      // Once more changes nothing but the commit, and sends no large file.
      const before = hub.log.length;
      await succeed(`push me/mine --model ${out}`);
      assert(!hub.log.slice(before).some((line) => line.startsWith("PUT")));
    } finally {
      Deno.env.delete("HF_TOKEN");
    }
  }));

Deno.test("a whole model is pushed with all that it needs, and trains on from there", () =>
  withHub(async (hub, folder) => {
    const out = join(folder, "out");
    Deno.env.set("HF_TOKEN", TOKEN);
    try {
      // The default rank is more than this model's smallest layer takes.
      await succeed(
        `train --model ${folder}/source --data org/rows --steps 1 --output-dir ${out} ${SHAPE}`,
      );
      const { err } = await succeed(`push me/whole@dev --model ${out} --license apache-2.0`);
      assertStringIncludes(err, "uploading me/whole@dev\nuploaded ");
      const files = hub.files("me/whole", "models", "dev");
      assertEquals([...files.keys()].filter((path) => path !== ".gitattributes").sort(), [
        "README.md",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
      ]);
      const card = new TextDecoder().decode(files.get("README.md"));
      assertMatch(
        card,
        /^---\ndatasets:\n- "org\/rows"\nlibrary_name: "transformers"\nlicense: "apache-2.0"\n/,
      );
      assertStringIncludes(card, "fine-tuned from `source` by `falqon` on [org/rows](");
      assertStringIncludes(card, "--model source");
      assert(!card.includes(folder), card);
      await succeed(`inspect me/whole@dev`);
      const refused = await runCommand(`push others/x --model ${out}`);
      assertMatch(
        refused.err,
        /error: Cannot push "others\/x" as .+ answers 403 \(You don't have the rights.+\): set HF_TOKEN/,
      );
      const nothing = await runCommand(`push me/x --model ${folder}/home`);
      assertMatch(
        nothing.err,
        /error: Cannot push ".+home" as it holds neither a model nor an adapter/,
      );
      hub.faults.status = { code: 503, times: 1 };
      await succeed(`push me/whole@dev --model ${out}`);
    } finally {
      Deno.env.delete("HF_TOKEN");
    }
  }));

Deno.test("fetch prints where a model or the files of a split are", () =>
  withHub(async (hub, folder) => {
    const model = await succeed("fetch org/tiny");
    const path = model.out.trim();
    assert(path.startsWith(join(folder, "home/hub/models--org--tiny/snapshots/")), path);
    assertMatch(model.err, /^downloading org\/tiny\ndownloaded \d[\d.]* KiB in 0s\n$/);
    assertEquals((await succeed("fetch org/tiny@main")).err, "");
    const data = await succeed("fetch org/rows:test --dataset");
    assertEquals(await Deno.readTextFile(data.out.trim()), jsonl(ROWS.slice(16)));
    const missing = await runCommand("fetch org/none");
    assertEquals([missing.code, missing.out], [1, ""]);
    assertMatch(missing.err, /^error: There is no model "org\/none" on 127/);

    hub.add("org/large", { "config.json": "{}", "model.safetensors": "x".repeat(100_000) });
    hub.faults.slowMs = 2;
    const terminal = new TestTerminal(60);
    const interrupted = main(["fetch", "org/large"], terminal);
    while (!/\r\[#+-+\] \d/.test(terminal.err)) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    terminal.interrupt();
    assertEquals(await interrupted, 130);
    assertMatch(terminal.err, /of 97\.7 KiB/);
    assertMatch(terminal.err, /interrupted: run the same command again, which goes on from there/);
    const lines = terminal.err.split(/[\r\n]/).filter((line) => line.startsWith("["));
    // deno-lint-ignore no-control-regex
    assert(lines.every((line) => line.replace(/\x1b\[K/, "").length <= 60), terminal.err);
  }));

Deno.test("the commands of the page on the hub work in their order", () =>
  withHub(async (hub, folder) => {
    hub.add("HuggingFaceTB/SmolLM2-135M-Instruct", await readAll(join(folder, "source")));
    const rows = ROWS.map(({ prompt, completion }) => ({ question: prompt, answer: completion }));
    hub.add("openai/gsm8k", {
      "README.md": "---\nconfigs:\n" +
        "- {config_name: main, data_files: [{split: train, path: main/train*}, {split: test, path: main/test*}]}\n" +
        "- {config_name: socratic, data_files: socratic/*}\n---\n",
      "main/train.jsonl": jsonl(rows.slice(0, 16)),
      "main/test.jsonl": jsonl(rows.slice(16)),
      "socratic/train.jsonl": jsonl(rows.slice(0, 1)),
    }, { kind: "datasets" });
    const page = await Deno.readTextFile(new URL("../../docs/HUB.md", import.meta.url));
    const commands = [...page.matchAll(/^deno run -A jsr:@falqon\/webgpu\/cli (.+)$/gm)].map(
      ([, line]) =>
        [...line.replace(/ +#.*$/, "").matchAll(/"([^"]*)"|\S+/g)]
          .map(([word, quoted]) => quoted ?? word),
    );
    assertEquals(commands.map(([name]) => name), [
      "train",
      "generate",
      "eval",
      "fetch",
      "fetch",
      "push",
    ]);
    const here = Deno.cwd();
    Deno.chdir(folder);
    Deno.env.set("HF_TOKEN", TOKEN);
    try {
      for (const words of commands) {
        // The page's run takes hours; this one two steps.
        const shape = words[0] === "train" ? ["--steps", "2"] : [];
        if (["train", "eval"].includes(words[0])) shape.push(...SHAPE.split(" "));
        const terminal = new TestTerminal();
        assertEquals(await main([...words, ...shape], terminal), 0, terminal.err);
      }
      assertEquals(hub.access("ORG/NAME"), "private");
    } finally {
      Deno.env.delete("HF_TOKEN");
      Deno.chdir(here);
    }
  }));

Deno.test("a path that exists wins over a name on the hub, and what is neither is said so", () =>
  withHub(async (hub, folder) => {
    const here = Deno.cwd();
    Deno.chdir(folder);
    try {
      await Deno.mkdir("org");
      await Deno.rename("source", "org/tiny");
      await Deno.writeTextFile("org/rows", jsonl(ROWS));
      const asked = hub.log.length;
      const { err } = await succeed(`eval --model org/tiny --data org/rows ${SHAPE}`);
      assertStringIncludes(err, 'note: "org/rows" is taken from this folder, not from the hub\n');
      assertStringIncludes(err, 'note: "org/tiny" is taken from this folder, not from the hub\n');
      assertEquals(hub.log.length, asked);
    } finally {
      Deno.chdir(here);
    }
    const model = await runCommand(`eval --model tiny --data org/rows`);
    assertMatch(
      model.err,
      /error: Cannot find the model "tiny": there is no such folder, and names on the hub are as ORG\/NAME/,
    );
    const rows = await runCommand(`eval --model org/tiny --data data/rows.jsonl`);
    assertMatch(rows.err, /error: Cannot read "data\/rows.jsonl": there is no such file or folder/);
  }));
