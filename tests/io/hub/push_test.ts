/** What is put on a hub, and its card. */

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { dirname, join } from "node:path";
import { parse as parseYaml } from "@std/yaml";
import { FileError, HubError } from "../../../src/errors.ts";
import { modelCard } from "../../../src/io/hub/model_card.ts";
import { licenseOf, pushModel } from "../../../src/io/hub/push.ts";
import { HubServer, TOKEN } from "../../support/hub_server.ts";
import { withFolder } from "../../support/io.ts";

Deno.test("a card states what is known, for people and for the hub", () => {
  const card = modelCard({
    name: "me/mine",
    kind: "adapter",
    base: "org/base",
    baseRevision: "0123456789",
    data: ["org/rows@v1:train", "own.jsonl"],
    heldOut: "own_test.jsonl",
    method: "lora",
    settings: { rank: 8 },
    steps: 5,
    lossBefore: 2,
    lossAfter: 1,
    trainingLoss: 1.25,
    command: "train",
    license: "mit",
  });
  const [, front, text] = /^---\n([\s\S]+?)\n---\n([\s\S]+)$/.exec(card)!;
  assertEquals(parseYaml(front), {
    base_model: "org/base",
    base_model_relation: "adapter",
    datasets: ["org/rows"],
    library_name: "peft",
    license: "mit",
    pipeline_tag: "text-generation",
    tags: ["falqon-webgpu", "lora"],
  });
  assertMatch(
    text,
    /A LoRA adapter for \[org\/base\]\(.+\) at commit `0123456` by `lora` on \[org\/rows@v1:train\]\(.+datasets\/org\/rows\), `own.jsonl`/,
  );
  for (
    const line of [
      "| steps | 5 |",
      "| held-out loss before | 2.0000 |",
      "| held-out perplexity after | 2.72 |",
      "| held out | own_test.jsonl |",
      "| rank | 8 |",
    ]
  ) {
    assert(text.includes(`\n${line}\n`), text);
  }
  const bare = modelCard({ name: "me/bare", kind: "model", base: "folder", data: [] });
  assert(!/undefined|null|NaN|## Training|## Command|base_model/.test(bare), bare);
  assertMatch(bare, /library_name: "transformers"/);
});

Deno.test("files of a model go to the hub, others stay, and what is there already is not sent again", () =>
  withFolder(async (folder) => {
    await using hub = new HubServer();
    const options = { endpoint: hub.endpoint, token: TOKEN, retryMs: 1, card: "# Card" };
    const model = join(folder, "model");
    await Deno.mkdir(join(model, "additional_chat_templates"), { recursive: true });
    await Deno.mkdir(join(model, "checkpoint-1"));
    await assertRejects(
      () => pushModel("me/new", model, options),
      FileError,
      "neither a model nor",
    );
    const write = (name: string, content: string) => Deno.writeTextFile(join(model, name), content);
    const large = "weights".repeat(100_000);
    await write("config.json", "{}");
    await write("model-00001-of-00002.safetensors", large);
    await write("model-00002-of-00002.safetensors", "two");
    await write("model.safetensors.index.json", "{}");
    await write("tokenizer.model", "t");
    await write("additional_chat_templates/tools.jinja", "x");
    await write("model-q8_0.gguf", "g");
    await write("training_log.jsonl", "secret");
    await write(".env", "secret");
    const sent: { bytes: number; totalBytes: number }[] = [];
    const onProgress = (at: { bytes: number; totalBytes: number }) => sent.push(at);
    hub.faults.refusePuts = 1;
    const { files, leftOut, url } = await pushModel("me/new", model, { ...options, onProgress });
    assertEquals(url, `${hub.endpoint}/me/new`);
    assertEquals(leftOut, ["checkpoint-1/", "training_log.jsonl"]);
    const there = hub.files("me/new");
    assertEquals([...there.keys()].filter((path) => path !== ".gitattributes").sort(), files);
    assertEquals(files, [
      "README.md",
      "additional_chat_templates/tools.jinja",
      "config.json",
      "model-00001-of-00002.safetensors",
      "model-00002-of-00002.safetensors",
      "model-q8_0.gguf",
      "model.safetensors.index.json",
      "tokenizer.model",
    ]);
    assertEquals(new TextDecoder().decode(there.get("model-00001-of-00002.safetensors")), large);
    assertEquals(new TextDecoder().decode(there.get("README.md")), "# Card");
    assert(sent.length > 3, `${sent.length}`);
    const total = large.length + "two".length + "g".length;
    assertEquals(sent.at(-1), { bytes: total, totalBytes: total });

    await write("README.md", "my own");
    const asked = hub.log.length;
    await pushModel("me/new", model, options);
    assertEquals(new TextDecoder().decode(hub.files("me/new").get("README.md")), "my own");
    assert(!hub.log.slice(asked).some((line) => line.startsWith("PUT")));

    const says = async (name: string, more: Record<string, unknown>, pattern: RegExp) => {
      const failure = await assertRejects(
        () => pushModel(name, model, { ...options, ...more }),
        HubError,
      );
      assertMatch(failure.message, pattern);
    };
    await says("mine", {}, /no name on a hub/);
    await says("me/new", { offline: true }, /HF_HUB_OFFLINE is set: unset it/);
    await says(
      "me/new",
      { token: "hf_wrong" },
      /answers 401 .+: set HF_TOKEN to a token from .+ that may write/,
    );
    await says(
      "me/new",
      { endpoint: "http://127.0.0.1:1" },
      /cannot be reached .+ run the same command again, which sends only what is not there yet$/,
    );
    hub.faults.status = { code: 500, times: 99 };
    await says(
      "me/new",
      {},
      /answers 500 \(no\): try again later, which sends only what is not there yet/,
    );
  }));

Deno.test("the license of a base is found, or none", async () => {
  await using hub = new HubServer();
  hub.add("org/base", { "config.json": "{}" }, { tags: ["llama", "license:apache-2.0"] });
  hub.add("org/bare", { "config.json": "{}" });
  const options = { endpoint: hub.endpoint, retryMs: 1 };
  assertEquals(await licenseOf("org/base", options), "apache-2.0");
  for (const name of ["org/bare", "org/none", "folder"]) {
    assertEquals(await licenseOf(name, options), undefined);
  }
});

Deno.test("a link to what lies outside of the folder is not pushed", () =>
  withFolder(async (folder) => {
    await using hub = new HubServer();
    const options = { endpoint: hub.endpoint, token: TOKEN, retryMs: 1 };
    const snapshot = join(folder, "models--me--x", "snapshots", "0".repeat(40));
    const blob = join(folder, "models--me--x", "blobs", "abc");
    const model = join(folder, "model");
    for (const path of [snapshot, dirname(blob), model]) {
      await Deno.mkdir(path, { recursive: true });
    }
    await Deno.writeTextFile(join(folder, "secret"), "secret");
    await Deno.writeTextFile(blob, "weights");
    for (const path of [model, snapshot]) await Deno.writeTextFile(join(path, "config.json"), "{}");
    await Deno.symlink("../../blobs/abc", join(snapshot, "model.safetensors"));
    await pushModel("me/cached", snapshot, options); // as the cache has it
    await Deno.writeTextFile(join(model, "model.safetensors"), "weights");
    await Deno.symlink("config.json", join(model, "generation_config.json"));
    await pushModel("me/linked", model, options);
    assertEquals([...hub.files("me/linked").keys()].includes("generation_config.json"), true);
    for (const target of ["../secret", join(folder, "secret")]) {
      await Deno.symlink(target, join(model, "README.md"));
      await assertRejects(
        () => pushModel("me/secret", model, options),
        FileError,
        `as it is a link to "${await Deno.realPath(
          join(folder, "secret"),
        )}", outside of the folder`,
      );
      await Deno.remove(join(model, "README.md"));
    }
    assertEquals(hub.access("me/secret"), undefined);
  }));

Deno.test("names in a card are text, whatever they hold", () => {
  const card = modelCard({
    name: "me/mine",
    kind: "adapter",
    base: 'x"); import os; os.system("y',
    data: ["a\n# Heading `b`"],
    settings: { rank: "8 |\n| x" },
  });
  assert(card.includes('from_pretrained("x\\"); import os; os.system(\\"y")'), card);
  assert(card.includes("`a\\n# Heading 'b'`"), card);
  assert(card.includes("| rank | 8 \\|\\n\\| x |"), card);
});
