// Reads [[name, wgsl], ..] from the file that is named last and prints a line for each text that Dawn's compiler refuses.
import { create, globals } from 'webgpu';
import { readFileSync } from 'node:fs';
Object.assign(globalThis, globals);
const gpu = create(['backend=null']);
const adapter = await gpu.requestAdapter();
const device = await adapter.requestDevice();
for (const [name, code] of JSON.parse(readFileSync(process.argv.at(-1), 'utf8'))) {
  device.pushErrorScope('validation');
  const info = await device.createShaderModule({ code }).getCompilationInfo();
  await device.popErrorScope();
  for (const m of info.messages) {
    if (m.type === 'error') console.log(`${name}, line ${m.lineNum}: ${m.message.split('\n')[0]}`);
  }
}
device.destroy();
process.exit(0);
