import { debianPackage } from './debian-package.mjs';

const driver = 'vk_swiftshader_icd.json';

/** Debian's package that holds both a Vulkan loader and SwiftShader, a Vulkan driver that computes on the CPU. */
const chromium = debianPackage({
  packageName: 'chromium-common',
  folder: 'swiftshader',
  members: [
    `usr/lib/chromium/${driver}`,
    'usr/lib/chromium/libvk_swiftshader.so',
    'usr/lib/chromium/libvulkan.so.1',
    'usr/share/doc/chromium-common/copyright',
  ],
  main: driver,
  title: 'software Vulkan driver for tests',
  replaced: (env) =>
    [env.ERRATA_TEST_VULKAN, env.VK_ICD_FILENAMES, env.VK_DRIVER_FILES].some((named) => named !== undefined),
  skipped: 'the WebGPU tests are skipped, which need a Vulkan driver',
});

/** Where the description of the driver is once it is there. */
export const softwareVulkan = chromium.file;
export const wantsSoftwareVulkan = chromium.wanted;
/** Brings the driver for the WebGPU tests. */
export const installSoftwareVulkan = chromium.install;
