/**
 * TensorFlow's build for CUDA of the version that the CPU library has, and the libraries of NVIDIA that it opens when it
 * meets a card, in the versions its package names (extra `and-cuda`); left out are those of compilers, profilers and
 * several cards. Sizes are bytes.
 */
export const cudaTensorflow = {
  title: 'TensorFlow C library 2.18.1 (CUDA 12.5)',
  requirement: 'tensorflow==2.18.1',
  folder: 'native/tensorflow-cuda-2.18.1-kernels',
  files: {
    'linux-x64': {
      name: 'tensorflow-2.18.1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl',
      sha256: 'c9f87e5d2a680a4595f5dc30daf6bbaec9d4129b46d7ef1b2af63c46ac7d2828',
      size: 615510377,
      platforms: ['manylinux_2_17_x86_64', 'manylinux2014_x86_64'],
      python: '3.11',
    },
  },
};

/** [name, version, sha256, size, a library it must hold] */
const parts = [
  [
    'cublas',
    '12.5.3.2',
    'ca070ad70e9fa6654084575d01bd001f30cc4665e33d4bb9fc8e0f321caa034b',
    363313169,
    'libcublas.so.12',
  ],
  [
    'cuda-nvrtc',
    '12.5.82',
    '3dbd97b0104b4bfbc3c4f8c79cd2496307c89c43c29a9f83125f1d76296ff3fd',
    24873108,
    'libnvrtc.so.12',
  ],
  [
    'cuda-runtime',
    '12.5.82',
    '3e79a060e126df40fd3a068f3f787eb000fa51b251ec6cd97d09579632687115',
    895707,
    'libcudart.so.12',
  ],
  ['cudnn', '9.3.0.75', '9ad9c6929ebb5295eb4a1728024666d1c88283373e265a0c5c883e6f9d5cd76d', 577163502, 'libcudnn.so.9'],
  [
    'cufft',
    '11.2.3.61',
    '9a6e8df162585750f61983a638104a48c756aa13f9f48e19ab079b38e3c828b8',
    192524114,
    'libcufft.so.11',
  ],
  [
    'cusolver',
    '11.6.3.83',
    '93cfafacde4428b71778eeb092ec615a02a3d05404da1bcf91c53e3fa1bce42b',
    130341232,
    'libcusolver.so.11',
  ],
  [
    'cusparse',
    '12.5.1.3',
    '016df8e993c437e8301e62739f01775cba988fd5253cd4c64173f8e8d2f8e752',
    217558979,
    'libcusparse.so.12',
  ],
  [
    'nvjitlink',
    '12.5.82',
    'f9b37bc5c8cf7509665cb6ada5aaa0ce65618f2332b7d3e78e9790511f111212',
    21298879,
    'libnvJitLink.so.12',
  ],
];

export const cudaLibraries = parts.map(([name, version, sha256, size, library]) => ({
  title: `NVIDIA ${name} ${version}`,
  requirement: `nvidia-${name}-cu12==${version}`,
  folder: `native/nvidia-${name}-cu12-${version}`,
  library,
  files: {
    'linux-x64': {
      name: `nvidia_${name.replaceAll('-', '_')}_cu12-${version}-py3-none-manylinux2014_x86_64.whl`,
      sha256,
      size,
      platforms: ['manylinux2014_x86_64'],
      python: '3.11',
    },
  },
}));

/** Bytes on disk: what is downloaded, which is kept, and what is unpacked of it. */
export const cudaBytes = 6.5e9;
