// Generated from wgsl/ by `deno task bundle`. Do not edit.
// deno-fmt-ignore-file

/** Kernel sources by file name. */
export const kernelSources: Readonly<Record<string, string>> = {
};
