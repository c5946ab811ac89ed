import { debianPackage } from './debian-package.mjs';
import { findProgram } from './process.mjs';

/** Debian's Prometheus with promtool, for the tests of dashboards and alert rules. */
const debian = debianPackage({
  packageName: 'prometheus',
  folder: 'prometheus',
  members: ['usr/bin/prometheus', 'usr/bin/promtool', 'usr/share/doc/prometheus/copyright'],
  main: 'prometheus',
  title: 'Prometheus for tests',
  replaced: (env) =>
    env.ERRATA_PROMETHEUS !== undefined || ['prometheus', 'promtool'].every((name) => findProgram(name, env)),
  skipped: 'the tests of dashboards and alert rules are skipped, which need Prometheus',
});

/** Where the program is once it is there; promtool lies beside it. */
export const prometheus = debian.file;
export const wantsPrometheus = debian.wanted;
export const installPrometheus = debian.install;
