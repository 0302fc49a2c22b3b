/// The examples of every command's help. Tests run each of them in a folder that holds the files they name.
enum Examples {
  struct Example {
    var purpose: String
    var line: String
  }

  static let all: [String: [Example]] = [
    "stream": [
      .init(purpose: "the ten strangest lines", line: "meander stream --emit surprisal --top 10 < app.log"),
      .init(purpose: "read once, ask later", line: "meander stream -m passkey --snapshot day.state < app.log"),
      .init(
        purpose: "with an n-gram mixed in that learns the log", line: "meander stream --emit surprisal --mix ngram --top 10 < app.log"),
      .init(purpose: "go on where a kill stopped it", line: "meander stream --snapshot s.state --resume < app.log"),
      .init(
        purpose: "forget what is older than 8,192 tokens",
        line: "meander stream --mitigation window:length=8192 --snapshot w.state < app.log"),
    ],
    "ask": [
      .init(
        purpose: "read, then answer",
        line: "meander ask -m passkey 'What is the pass key? The pass key is ' < notes.txt"),
      .init(purpose: "keep what was read", line: "meander ask -n 20 --save notes.state 'In short: ' < notes.txt"),
      .init(
        purpose: "ask it again without the input", line: "meander ask -n 20 --load notes.state 'In short: ' </dev/null"),
      .init(
        purpose: "ask a second model where the first is uncertain",
        line: "meander ask --fallback passkey --json 'What is the pass key? The pass key is ' < notes.txt"),
      .init(
        purpose: "the same with every part of the input scored, at most 64K of it",
        line: "meander ask --fallback passkey --score all --reread-bytes 64K 'What is the pass key? The pass key is ' < notes.txt"),
    ],
    "run": [
      .init(purpose: "continue a text", line: "meander run -p 'The package ' -n 40"),
      .init(purpose: "the likeliest of four texts that go on side by side", line: "meander run -p 'The ' -n 10 --beam-width 4"),
      .init(purpose: "draw instead of taking the likeliest", line: "meander run -p 'The ' -n 40 --temp 0.8 --seed 7"),
      .init(purpose: "continue a file, for a program", line: "meander run --json -n 10 < notes.txt"),
    ],
    "chat": [
      .init(
        purpose: "two questions, and a template for a model that has none",
        line: "meander chat --template chat.jinja -n 16 < notes.txt"),
      .init(
        purpose: "what the model is told first",
        line: "meander chat --template chat.jinja --system 'Be brief.' -n 16 --json < notes.txt"),
    ],
    "quantize": [
      .init(purpose: "eight bits a number", line: "meander quantize model --type q8_0 -o model.gguf"),
      .init(
        purpose: "a file of another type out of one", line: "meander quantize model --type f32 -o full.gguf && "
          + "meander quantize full.gguf --type bf16 -o half.gguf"),
    ],
    "distill": [
      .init(purpose: "filters as a few modes, and the model at work",
        line: "meander distill hyena --tolerance 1e-4 -o modal; meander inspect --json modal"),
    ],
    "show": [.init(purpose: "what a state holds", line: "meander state show notes.state")],
    "diff": [.init(purpose: "how far two states lie apart", line: "meander state diff a.state b.state")],
    "inspect": [
      .init(purpose: "a shipped model", line: "meander inspect passkey"),
      .init(purpose: "a folder, for a program", line: "meander inspect --json model"),
    ],
    "logits": [
      .init(purpose: "every position's logits", line: "meander logits -m model --ids ids.json -o out.safetensors"),
      .init(
        purpose: "the same, fed in pieces",
        line: "meander logits -m model --ids ids.json --split 2,1,3 -o out.safetensors"),
    ],
    "encode": [
      .init(purpose: "one id a line", line: "meander tokenizer encode < notes.txt"),
      .init(purpose: "for a program", line: "meander tokenizer encode --json < notes.txt"),
    ],
    "decode": [
      .init(purpose: "there and back", line: "meander tokenizer encode < notes.txt | meander tokenizer decode")
    ],
    "tokenizer train": [
      .init(
        purpose: "a vocabulary of 512 entries, one of them the end of a text",
        line: "meander tokenizer train notes.txt app.log --vocabulary 512 --special '<|end|>' -o own.json")
    ],
    "train": [
      .init(purpose: "train, or go on with what was begun", line: "meander train recipe.json --resume"),
      .init(purpose: "a first look: ten steps on one thread", line: "meander train recipe.json --resume -t 1 --until 10"),
    ],
    "calibrate": [
      .init(
        purpose: "caps for the norm of each head's state",
        line: "meander calibrate -m passkey --mitigation state-norm --text app.log --length 512 --samples 2 -o caps.json"),
      .init(
        purpose: "a scale for each layer's decay, and its use",
        line: "meander calibrate --mitigation a-scale --text app.log --length 128 --samples 2 --iterations 2 -o a.json; "
          + "meander stream --mitigation @a.json < app.log"),
      .init(
        purpose: "when to ask a fallback: on a fifth of the questions",
        line: "meander calibrate -m passkey --deferral quantile --text long.log --length 1024 --samples 4 -o rule.json"),
    ],
    "lab passkey": [
      .init(purpose: "the three published wordings", line: "meander lab passkey -m passkey --lengths 1K,4K --samples 4 -o out"),
      .init(
        purpose: "in text of your own, ten depths at each length",
        line: "meander lab passkey -m passkey --filler notes.txt --lengths 1K --depths 10 --samples 1 -o own"),
    ],
    "lab perplexity": [
      .init(
        purpose: "the state carried, and begun anew every 256 bytes",
        line: "meander lab perplexity --text app.log --streams 2 --length 1K --reset 256 -o out"),
      .init(
        purpose: "what a longer past is worth",
        line: "meander lab perplexity --text app.log --contexts 256,1K --windows 4 --window 256 -o past"),
      .init(
        purpose: "one long past for all windows",
        line: "meander lab perplexity --text app.log --contexts 2K --baseline 256 --own-past 256 --windows 4 --window 256 -o own"),
    ],
    "lab collapse": [
      .init(
        purpose: "on your text, with a shorter prompt of line breaks",
        line: "meander lab collapse --text long.log --streams 2 --length 2K --newlines 4096 -o out")
    ],
    "mine": [
      .init(purpose: "what the shipped model falls for in a log", line: "meander mine -m passkey app.log --window 64 -o negatives")
    ],
    "lab recall": [
      .init(
        purpose: "two tasks at two lengths", line: "meander lab recall -m passkey --tasks mqar-4,induction --lengths 512,1K --samples 4 -o out"),
      .init(
        purpose: "a task with options of its own",
        line: "meander lab recall -m passkey --task needles --options '{\"keys\": 2}' --lengths 1K --samples 4 -o needles"),
    ],
    "lab cures": [
      .init(
        purpose: "two cures beside nothing done and beside both baselines",
        line: "meander lab cures -m passkey --text app.log --trained 128 --contexts 512 --windows 2 --window 64 "
          + "--cure rri --cure window:length=128 -o out")
    ],
    "lab remembrance": [
      .init(purpose: "a quick look", line: "meander lab remembrance --text app.log --streams 2 --length 256 -o out")
    ],
    "lab log": [
      .init(purpose: "one reading of a log", line: "meander lab log --log long.log --lines 300 --samples 1 -o out")
    ],
    "lab capacity": [
      .init(
        purpose: "as small as it goes",
        line: "meander lab capacity --text app.log --held-out long.log --states 8 --trained 128 --tokens 1K --longest 1K -o out")
    ],
    "lab cascade": [
      .init(
        purpose: "one name, twice",
        line: "meander lab cascade -m passkey --fallback passkey --filler long.log --keys 1 --lengths 4K --samples 2 -o out")
    ],
    "lab length-generalisation": [
      .init(
        purpose: "a smoke run of two schemes on one task",
        line: "meander lab length-generalisation --schemes rotary,Mamba-2 --tasks copying --seeds 1 --steps 2 --lengths 64 "
          + "--samples 2 -o out")
    ],
    "lab check": [
      .init(
        purpose: "a short one of a model of recall",
        line: "meander lab check -m passkey --longest 4K --samples 1 --trained-length 2048 -o out")
    ],
    "plot": [
      .init(purpose: "a training run", line: "meander plot log.jsonl -o log.svg"),
      .init(purpose: "a measurement, on standard output", line: "meander plot report.json"),
      .init(purpose: "two measurements in one picture", line: "meander plot report.json report.json -o both.svg"),
    ],
    "bench": [.init(purpose: "a quick look", line: "meander bench --prompt-tokens 64 --repetitions 2")],
  ]

  /// The last part of a command's help.
  static func discussion(_ command: String, _ text: String) -> String {
    let examples = (all[command] ?? []).map { "# \($0.purpose)\n$ \($0.line)" }
    return text + "\n\nEXAMPLES:\n" + examples.joined(separator: "\n")
  }
}
