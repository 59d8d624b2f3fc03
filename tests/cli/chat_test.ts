/** `chat` and `generate` of conversations, and where prompts come from. */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { Chat, Model } from "../../mod.ts";
import { main } from "../../src/cli/main.ts";
import { device } from "../support/device.ts";
import { breakAtSubmit } from "../support/fragile_device.ts";
import { withFolder } from "../support/io.ts";
import { TestTerminal } from "../support/terminal.ts";

const tiny = new URL("../../examples/tiny/model/", import.meta.url).pathname;
const TEMPLATE = "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}\n" +
  "{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}";

/** A model with a chat template. */
async function writeModel(folder: string): Promise<string> {
  for (const { name } of Deno.readDirSync(tiny)) {
    await Deno.copyFile(join(tiny, name), join(folder, name));
  }
  await Deno.writeTextFile(join(folder, "chat_template.jinja"), TEMPLATE);
  return folder;
}

async function run(line: string, input = "") {
  const terminal = new TestTerminal(null, input);
  const code = await main(line.split(" "), terminal);
  return { code, out: terminal.out, err: terminal.err };
}

const GREEDY = "--temperature 0 --max-new-tokens 12";

Deno.test("chat answers through the template, remembers, and begins anew", () =>
  withFolder(async (folder) => {
    await writeModel(folder);
    using model = await Model.load(folder, { device });
    const answer = async (messages: { role: string; content: string }[]) =>
      (await Array.fromAsync(model.generate(messages, { temperature: 0, maxNewTokens: 12 })))
        .join("");
    const user = (content: string) => ({ role: "user", content });
    const first = await answer([user("Pip has a bell.")]);
    const said = { role: "assistant", content: first };
    const second = await answer([user("Pip has a bell."), said, user("Who has it?\n  Tell")]);
    const third = await answer([user("a\n\nb")]);
    const fourth = await answer([{ role: "system", content: "Be kind" }, user("Hello")]);
    const input = 'Pip has a bell.\nWho has it?\\\n  Tell\n/reset\n\n"""\na\n\nb"""\n' +
      "/system Be kind\nHello\n/what\n/exit\nnot read\n";
    const { code, out, err } = await run(`chat ${folder} ${GREEDY}`, input);
    assertEquals(code, 0, err);
    assertEquals(out, [first, second, third, fourth, ""].join("\n"));
    assertStringIncludes(err, "There is no /what");
    assertStringIncludes(err, "the answer was cut");
    const given = await run(`chat --model ${folder} --system Be ${GREEDY}`, "Hello");
    const be = { role: "system", content: "Be" };
    assertEquals(given.out, await answer([be, user("Hello")]) + "\n");
  }));

Deno.test("a stopped answer stays in the conversation, a failed one does not", () =>
  withFolder(async (folder) => {
    await writeModel(folder);
    using model = await Model.load(folder, { device });
    const chat = new Chat(model, { system: "Be kind" });
    const stop = new AbortController();
    let shown = "";
    try {
      for await (
        const piece of chat.send("Hello", { temperature: 0, signal: stop.signal, maxNewTokens: 50 })
      ) {
        shown += piece;
        if (shown.length > 5) stop.abort();
      }
    } catch (error) {
      assert(stop.signal.aborted, `${error}`);
    }
    assertEquals(chat.messages.map(({ role }) => role), ["system", "user", "assistant"]);
    assertEquals(chat.messages[2].content, shown);
    try {
      for await (const _ of chat.send("long ".repeat(1000)));
    } catch (error) {
      assertStringIncludes(`${error}`, "Cannot continue a prompt of");
    }
    assertEquals(chat.messages.length, 3);
    chat.reset();
    assertEquals([chat.messages.length, chat.system], [1, "Be kind"]);
    const { out, err } = await run(`chat ${folder} ${GREEDY}`, `${"long ".repeat(1000)}\nHello\n`);
    assertStringIncludes(err, "/reset begins a new conversation");
    assert(out.length > 1);
  }));

Deno.test("generate takes prompts and conversations from files and standard input", () =>
  withFolder(async (folder) => {
    await writeModel(folder);
    const messages = [{ role: "user", content: "Hello" }];
    await Deno.writeTextFile(join(folder, "m.json"), JSON.stringify({ messages }));
    const chat = await run(`chat ${folder} ${GREEDY}`, "Hello");
    const generate = `generate --model ${folder} ${GREEDY}`;
    assertEquals((await run(`${generate} --messages ${folder}/m.json`)).out, chat.out);
    assertEquals((await run(`${generate} --messages -`, JSON.stringify(messages))).out, chat.out);
    const named = await run(`${generate} --prompt Pip`);
    assertEquals(await run(`${generate} --prompt -`, "Pip"), named);
  }));

Deno.test("conversations that cannot be answered are refused", () =>
  withFolder(async (folder) => {
    await writeModel(folder);
    const generate = `generate --model ${folder}`;
    const cases: [string, string, string][] = [
      [generate, "", "--prompt is missing: give it, or --messages"],
      [`${generate} --prompt a --messages b`, "", "together"],
      [`${generate} --messages -`, "Hello", "as JSON"],
      [`${generate} --messages -`, "[]", "Cannot find messages in standard input, which is []"],
      [
        `${generate} --messages -`,
        '["Hello"]',
        'Cannot use message 1 of standard input, which is "',
      ],
      [`${generate} --messages -`, '[{"role":"assistant","content":"a"}]', "the assistant's own"],
      [`${generate} --messages ${folder}/none.json`, "", "none.json"],
      ["chat", "", "Cannot chat without MODEL"],
      [`chat ${folder} --model ${folder}`, "", "together"],
      [`chat ${tiny}`, "", "Cannot chat as the model has no chat template"],
    ];
    for (const [line, input, message] of cases) {
      const { code, err } = await run(line, input);
      assert(code > 0 && err.includes(message), `${line}: ${err}`);
    }
  }));

Deno.test("chat ends where the GPU is lost, as every turn would fail", () =>
  withFolder(async (folder) => {
    await writeModel(folder);
    using _ = breakAtSubmit(3);
    const { code, err } = await run(`chat ${folder} ${GREEDY}`, "Hello\nHello\n");
    assertEquals(code, 1);
    assertMatch(
      err,
      /shows what else there is\.\nerror: Cannot continue as the GPU was lost \([^\n]*\n$/,
    );
  }));
