export { startPrometheus, type TestPrometheus } from './prometheus.js';
