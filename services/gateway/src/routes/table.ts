import type { GatewayDeps } from '../deps.js';
import type { Route } from '../http/route.js';
import { createGatewayMetrics } from '../metrics.js';
import { adapterRoutes } from './adapters.js';
import { branchRoutes } from './branches.js';
import { compareRoutes } from './compare.js';
import { completionRoutes } from './completions.js';
import { controlRoutes } from './control.js';
import { corpusRoutes } from './corpora.js';
import { editRoutes } from './edits.js';
import { exportRoutes } from './exports.js';
import { guardRoutes } from './guards.js';
import { publicationRoutes } from './publications.js';
import { questionRoutes } from './questions.js';
import { retentionRoutes } from './retention.js';
import { revocationRoutes } from './revocations.js';
import { streamRoutes } from './streams.js';
import { systemRoutes } from './system.js';
import { taskQueueRoutes } from './task-queues.js';
import { verifyRoutes } from './verify.js';

/** Every route of the API: the router and the OpenAPI document are both made from this table. */
export function routeTable(deps: GatewayDeps): readonly Route[] {
  const metrics = createGatewayMetrics(deps.registry);
  const table: Route[] = [
    ...streamRoutes(deps),
    ...corpusRoutes(deps),
    ...adapterRoutes(deps),
    ...editRoutes(deps, metrics),
    ...revocationRoutes(deps),
    ...controlRoutes(deps),
    ...branchRoutes(deps),
    ...compareRoutes(deps),
    ...guardRoutes(deps),
    ...retentionRoutes(deps),
    ...completionRoutes(deps),
    ...questionRoutes(deps),
    ...verifyRoutes(deps, metrics),
    ...exportRoutes(deps),
    ...publicationRoutes(deps),
    ...taskQueueRoutes(deps),
    ...systemRoutes(deps, () => table),
  ];
  return table;
}
