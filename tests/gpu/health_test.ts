import { assertEquals } from "@std/assert";
import { reasonOf } from "../../src/gpu/health.ts";

Deno.test("what a provider says is told in one line, without the places of its own source", () => {
  const dawn = "vkAllocateMemory failed with VK_ERROR_OUT_OF_DEVICE_MEMORY\n" +
    ' - While calling [Device].CreateBuffer([BufferDescriptor ""]).\n' +
    "    at CheckVkOOMThenSuccessImpl (/home/someone/dawn/native/vulkan/VulkanError.cpp:119)\n";
  assertEquals(reasonOf(dawn), "vkAllocateMemory failed with VK_ERROR_OUT_OF_DEVICE_MEMORY");
  assertEquals(reasonOf("  lost\n  twice "), "lost twice");
  assertEquals(reasonOf(""), "");
});
