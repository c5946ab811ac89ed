import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, type WorkflowBundleOption } from '@temporalio/worker';

const bundlePath = fileURLToPath(new URL('./workflow-bundle.cjs', import.meta.url));
const workflowsPath = fileURLToPath(import.meta.resolve('@errata/workflows'));

/** The workflow code a worker loads: bundled at build time, so that a start does not pay for it. */
export function workflowSource(): { workflowBundle: WorkflowBundleOption } | { workflowsPath: string } {
  return existsSync(bundlePath) ? { workflowBundle: { codePath: bundlePath } } : { workflowsPath };
}

/** Bundles the workflows into this package's build output. */
export async function writeBundle(): Promise<void> {
  const { code } = await bundleWorkflowCode({ workflowsPath });
  await writeFile(bundlePath, code);
}
