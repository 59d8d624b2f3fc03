import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { withFolder } from "../support/io.ts";

const SETUP = new URL("../../scripts/setup.ts", import.meta.url).pathname;
const DRIVERS = "/usr/share/vulkan/icd.d";

/** Runs setup.ts and a command behind it. */
async function setup(command: string[], env: Record<string, string> = {}) {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", SETUP, ...command],
    env: { NO_COLOR: "1", ...env },
  }).output();
  const decoder = new TextDecoder();
  return { code, out: decoder.decode(stdout), err: decoder.decode(stderr) };
}

/** A Mesa driver's description, where setup.ts would install one; else null. */
function mesaDriver(): string | null {
  if (Deno.build.os !== "linux" || Deno.uid() !== 0) return null;
  try {
    Deno.statSync("/etc/debian_version");
    const found = [...Deno.readDirSync(DRIVERS)].find(({ name }) => name.startsWith("lvp_icd"));
    return found ? join(DRIVERS, found.name) : null;
  } catch {
    return null;
  }
}

const driver = mesaDriver();
if (driver === null) console.log("skipped, since not root on Debian with Mesa's driver: setup");

/** Runs `use` in an environment in which no driver is found and `apt-get` is a script that notes its arguments. */
async function withoutDriver(
  install: string,
  use: (env: Record<string, string>, calls: () => string[]) => Promise<void>,
): Promise<void> {
  await withFolder(async (folder) => {
    const log = join(folder, "log");
    const script = join(folder, "apt-get");
    const listed = join(folder, "driver.json");
    await Deno.writeTextFile(
      script,
      `#!/bin/sh\necho "$*" >> ${log}\ncase "$*" in *install*)\n${install}\n;; esac\n`,
    );
    await Deno.chmod(script, 0o755);
    const env = {
      PATH: `${folder}:${Deno.env.get("PATH")}`,
      DENO_WEBGPU_BACKEND: "vulkan", // else OpenGL drivers are found too
      VK_ICD_FILENAMES: listed,
      LISTED: listed,
    };
    await use(env, () => Deno.readTextFileSync(log).trim().split("\n"));
  });
}

Deno.test("setup runs its command, passes arguments on and ends as it did", async () => {
  const code = "console.log(Deno.args.join('|'), Deno.env.has('XDG_RUNTIME_DIR')); Deno.exit(7)";
  const ended = await setup(["deno", "eval", code, "a b", "--c"]);
  assertEquals(ended, { code: 7, out: "a b|--c true\n", err: "" });
  if (Deno.build.os === "linux") { // without OpenGL, unless someone wants it
    const code = "console.log(Deno.env.get('DENO_WEBGPU_BACKEND'))";
    const env = { DENO_WEBGPU_BACKEND: "gl,vulkan" };
    assertEquals((await setup(["deno", "eval", code], env)).out, "gl,vulkan\n");
    const given = Deno.env.get("DENO_WEBGPU_BACKEND") ?? "vulkan";
    assertEquals((await setup(["deno", "eval", code])).out, `${given}\n`);
  }
  assertEquals((await setup([])).code, 0);
});

Deno.test({
  name: "setup installs a driver where none is found, and goes on",
  ignore: driver === null,
  fn: () =>
    withoutDriver(`cp ${driver} "$LISTED"`, async (env, calls) => {
      const { code, out, err } = await setup(["deno", "eval", "console.log('ran')"], env);
      assertEquals([code, out], [0, "ran\n"]);
      assertEquals(calls(), ["-qq update", "-qq install -y libvulkan1 mesa-vulkan-drivers"]);
      assertStringIncludes(err, "No GPU driver found, installing one");
    }),
});

Deno.test({
  name: "setup that cannot install says what failed and what to type, and runs nothing",
  ignore: driver === null,
  fn: () =>
    withoutDriver(`echo "E: no such package" >&2; exit 100`, async (env) => {
      const { code, out, err } = await setup(["deno", "eval", "console.log('ran')"], env);
      assertEquals([code, out], [1, ""]);
      assertStringIncludes(err, "E: no such package\nCannot run on this machine");
      assert(err.endsWith("apt-get update && apt-get install -y libvulkan1 mesa-vulkan-drivers\n"));
    }),
});
