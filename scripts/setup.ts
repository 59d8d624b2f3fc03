/**
 * Makes sure that WebGPU has an adapter to run on, then runs a command: the first step of the
 * tasks.
 *
 * A machine without a GPU driver gets Mesa's, which runs on the CPU: as root on Debian or Ubuntu it
 * is installed, elsewhere the command that does it is printed.
 *
 * Run: `deno run -A scripts/setup.ts deno test -A`.
 *
 * @module
 */

import { tmpdir } from "node:os";

const PACKAGES = ["libvulkan1", "mesa-vulkan-drivers"];
const INSTALL = `apt-get update && apt-get install -y ${PACKAGES.join(" ")}`;

/** Set for commands, unless it is set already. */
const DEFAULTS: Record<string, string> = {
  // The driver complains on stderr about a missing folder for sockets; it never uses the folder.
  XDG_RUNTIME_DIR: tmpdir(),
  // Else Deno loads OpenGL beside Vulkan. When a process exits, libEGL (1.6) frees what it holds for threads, while these
  // end and free, too: at the end of `deno test` glibc then aborts ("double free or corruption", "corrupted size vs.
  // prev_size in fastbins"), in 2 of 117 runs on two cores, in none of 117 without OpenGL.
  ...Deno.build.os === "linux" ? { DENO_WEBGPU_BACKEND: "vulkan" } : {},
};
const env = Object.fromEntries(Object.entries(DEFAULTS).filter(([name]) => !Deno.env.has(name)));

/** Asks a process of its own: one that found no driver does not look again. */
async function hasAdapter(): Promise<boolean> {
  const { success } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "Deno.exit(await navigator.gpu.requestAdapter() ? 0 : 1)"],
    env,
    stdout: "null",
    stderr: "null",
  }).output();
  return success;
}

/** Runs apt-get; its output is shown only if it fails. */
async function aptGet(...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command("apt-get", {
    args: ["-qq", ...args],
    env: { DEBIAN_FRONTEND: "noninteractive" },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).output();
  if (!success) await Deno.stderr.write(stderr);
}

async function canInstall(): Promise<boolean> {
  if (Deno.build.os !== "linux" || Deno.uid() !== 0) return false;
  return await Deno.stat("/etc/debian_version").then(() => true, () => false);
}

async function ensureAdapter(): Promise<boolean> {
  if (await hasAdapter()) return true;
  if (await canInstall()) {
    console.error(`No GPU driver found, installing one that runs on the CPU: ${INSTALL}`);
    // Where only some lists cannot be fetched, the packages may still be found.
    await aptGet("update");
    await aptGet("install", "-y", ...PACKAGES);
    if (await hasAdapter()) return true;
  }
  console.error(
    "Cannot run on this machine as WebGPU finds no adapter: install the driver of your GPU" +
      (Deno.build.os === "linux"
        ? `, or without a GPU, one that runs on the CPU; as root on Debian or Ubuntu: ${INSTALL}`
        : ""),
  );
  return false;
}

/** Runs a command in the terminal of this one. */
async function run([name, ...args]: string[]): Promise<number> {
  if (name === undefined) return 0;
  const child = new Deno.Command(name === "deno" ? Deno.execPath() : name, { args, env }).spawn();
  // Ctrl-C reaches the command too, which decides how to end.
  Deno.addSignalListener("SIGINT", () => {});
  return (await child.status).code;
}

if (import.meta.main) Deno.exit(await ensureAdapter() ? await run(Deno.args) : 1);
