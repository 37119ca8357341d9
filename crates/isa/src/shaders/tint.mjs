// Dawn's compiler: driven as script.rs says. A text must become a module without errors and warnings, and a pipeline within the default limits.
import { create, globals } from 'webgpu';
import { readFileSync, writeSync } from 'node:fs';
Object.assign(globalThis, globals);
const say = (...words) => writeSync(1, JSON.stringify(words) + '\n');
// Dawn's instance goes with this object, and the process with it: it must not be collected.
globalThis.gpu = create(['backend=null']);
const adapter = await gpu.requestAdapter();
const device = await adapter.requestDevice();
for (const [name, code] of JSON.parse(readFileSync(process.argv.at(-1), 'utf8'))) {
  say('begin', name);
  device.pushErrorScope('validation');
  const module = device.createShaderModule({ code });
  const { messages } = await module.getCompilationInfo();
  await device.popErrorScope();
  const text = (type) => messages.filter((m) => m.type === type).map((m) => `line ${m.lineNum}: ${m.message}`).join('\n');
  if (text('error')) {
    say('refused', name, text('error'));
    continue;
  }
  if (text('warning')) say('warned', name, text('warning'));
  try {
    await device.createComputePipelineAsync({ layout: 'auto', compute: { module, entryPoint: 'main' } });
  } catch (error) {
    say('refused', name, error.message);
  }
}
say('end');
device.destroy();
process.exit(0);
