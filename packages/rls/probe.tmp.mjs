import { jsLinearAlgebra } from '@errata/tensor';
import { runFixture } from './dist/index.js';
import { generateFixture } from './dist/fixture-generator.js';
const p={d:24,dout:10,u:3,steps:15,anchors:1,lambda:1,mu:0,keyScale:1,spread:1,foreignValues:false,seed:1};
for(const c of [{lambda:1e-3},{lambda:1e-4},{lambda:1e-5},{lambda:1e-6},{lambda:1e-5,u:30,steps:3},{lambda:1e-3,keyScale:100}]){ try{const r=runFixture(jsLinearAlgebra(),generateFixture({...p,...c}));console.log(JSON.stringify(c),r.maxRelError.toExponential(1));}catch(e){console.log(JSON.stringify(c),e.code,e.message.slice(0,80))}}
