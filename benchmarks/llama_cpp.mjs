// A contestant of generation.py: llama.cpp by node-llama-cpp. Each line of its input is prompts and numbers of new tokens;
// it answers with seconds.
import os from "node:os";
import readline from "node:readline";
import {getLlama} from "node-llama-cpp";

const threads = os.availableParallelism();
const llama = await getLlama({gpu: false, build: "never", logLevel: "error", maxThreads: threads});
const model = await llama.loadModel({modelPath: process.argv.at(-1)});
const context = await model.createContext({contextSize: 1024, sequences: 8, batchSize: 512, threads});
const sequences = Array.from({length: 8}, () => context.getSequence());

async function write(sequence, tokens, count) {
    await sequence.clearHistory();
    let written = 0;
    for await (const _ of sequence.evaluate(tokens, {temperature: 0, yieldEogToken: true})) {
        written += 1;
        if (written >= count) break;
    }
}

console.log(JSON.stringify("ready"));
for await (const line of readline.createInterface({input: process.stdin})) {
    const [prompts, news] = JSON.parse(line);
    const start = performance.now();
    await Promise.all(prompts.map((tokens, i) => write(sequences[i], tokens, news[i])));
    console.log(JSON.stringify((performance.now() - start) / 1000));
}
process.exit(0);
