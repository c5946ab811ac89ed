import { boundaryProblems } from './lib/boundaries.mjs';
import { repoRoot } from './lib/paths.mjs';

const problems = boundaryProblems(repoRoot);
for (const problem of problems) console.error(problem);
console.error(problems.length === 0 ? 'import boundaries are kept' : `${problems.length} import boundaries are broken`);
process.exitCode = problems.length === 0 ? 0 : 1;
