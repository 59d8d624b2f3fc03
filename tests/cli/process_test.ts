import { assert, assertEquals } from "@std/assert";
import { join } from "node:path";
import { exists } from "../../src/io/exists.ts";
import { withFolder } from "../support/io.ts";
import { writeTinyModel } from "../support/tiny_model.ts";

const CLI = new URL("../../cli.ts", import.meta.url).pathname;

function start(args: string[]): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", CLI, ...args],
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** Gathers a stream; calls `seen` with all of it whenever there is more. */
async function gather(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  seen: (text: string) => void = () => {},
): Promise<string> {
  let text = "";
  for await (const piece of stream.pipeThrough(new TextDecoderStream())) seen(text += piece);
  return text;
}

Deno.test("the process writes to its streams and ends with the command's code", async () => {
  const child = start(["train", "--modle", "x"]);
  const [out, err, { code }] = await Promise.all([
    gather(child.stdout),
    gather(child.stderr),
    child.status,
  ]);
  assertEquals([out, code], ["", 2]);
  assert(err.endsWith("error: There is no flag --modle: did you mean --model?\n"), err);
});

Deno.test("Ctrl-C ends training after a step with a checkpoint", () =>
  withFolder(async (folder) => {
    await writeTinyModel(folder);
    const data = join(folder, "data.jsonl");
    await Deno.writeTextFile(data, '{"text": "abcdefghijkl"}\n'.repeat(10));
    const output = join(folder, "out");
    const child = start(
      `train --model ${folder} --data ${data} --output-dir ${output} --method full --steps 1000000 --batch-size 1 --sequence-length 16 --save-every 1000000 --log-every 5`
        .split(" "),
    );
    let pressed = false;
    const [, err, { code }] = await Promise.all([
      gather(child.stdout),
      gather(child.stderr, (text) => {
        if (pressed || !text.includes("step 5/")) return;
        pressed = true;
        child.kill("SIGINT");
      }),
      child.status,
    ]);
    assertEquals(code, 130, err);
    const [, step] = err.match(/interrupted after step (\d+): go on with --resume-from/)!;
    assert(await exists(join(output, `checkpoint-${step}`)), err);
    assert(!await exists(join(output, "config.json")));
  }));
