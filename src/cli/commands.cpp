#include "cli/commands.h"

#include "cli/commands/make_commands.h"

namespace nibble {
namespace {

constexpr CommandEntry kCommands[] = {
    {"quantize", "Turn a BF16 checkpoint into NVFP4",
     "  nibble quantize models/nano nano-nvfp4\n"
     "  nibble quantize SRC DST --method rtn --to modelopt\n"
     "  nibble quantize SRC DST --recipe mlp\n"
     "  nibble quantize SRC DST --ignore linear_attn --ignore 're:.*layers\\.0\\..*'\n"
     "  nibble quantize SRC DST --dry-run     what would happen to every tensor\n",
     make_quantize_command},
    {"convert", "Turn a checkpoint into another dialect, or into GGUF and back",
     "  nibble convert nano-nvfp4 nano-modelopt --to modelopt\n"
     "  nibble convert nano-nvfp4 nano.gguf --to gguf\n"
     "  nibble convert models/nano nano-bf16.gguf --to gguf --outtype q8_0\n"
     "  nibble convert nano.gguf nano-nvfp4 --to compressed-tensors\n"
     "  nibble convert stock-Q4_K_M.gguf plain --to hf --dequantize\n",
     make_convert_command},
    {"inspect", "Show what a checkpoint holds",
     "  nibble inspect models/nano\n"
     "  nibble inspect nano-nvfp4 --json\n",
     make_inspect_command},
    {"verify", "Reopen an export and prove every tensor against its source",
     "  nibble verify nano-nvfp4 --source models/nano\n"
     "  nibble verify nano-nvfp4              only what the export says of itself\n",
     make_verify_command},
    {"repair", "Mend what a checkpoint says of itself, without touching weights",
     "  nibble repair EXPORT --dry-run\n"
     "  nibble repair EXPORT --base models/nano   also copy missing tokenizer files\n",
     make_repair_command},
    {"eval", "Measure perplexity, KL divergence, task accuracy and speed",
     "  nibble eval models/nano --text heldout.txt --max-bytes 600000\n"
     "  nibble eval nano-nvfp4 --base models/nano --text heldout.txt\n"
     "  nibble eval nano-nvfp4 --base models/nano --text heldout.txt --tasks tasks.jsonl --speed\n",
     make_eval_command},
    {"generate", "Continue a text",
     "  nibble generate models/nano --prompt 'It is a truth' -n 40 --temperature 0\n"
     "  nibble generate models/nano --prompt-file prompt.txt --seed 7 --json\n",
     make_generate_command},
    {"chat", "Talk with a model",
     "  nibble chat nano-nvfp4\n"
     "  nibble chat nano-nvfp4 --system 'Answer briefly.' --no-think\n"
     "  echo 'What is 12 plus 30?' | nibble chat nano-nvfp4\n",
     make_chat_command},
    {"tokenize", "Turn text into token ids, and back",
     "  nibble tokenize models/nano 'Hello world'\n"
     "  nibble tokenize models/nano --file book.txt --json\n"
     "  nibble tokenize models/nano --decode 3217 881\n",
     make_tokenize_command},
    {"render", "Print the prompt that the chat template makes of messages",
     "  nibble render models/nano --messages messages.json\n"
     "  nibble render models/nano --messages messages.json --set enable_thinking=false\n"
     "  nibble render models/nano --messages messages.json --template mine.jinja --json\n",
     make_render_command},
    {"logits", "Write the logits after each of the given tokens to a file",
     "  nibble logits models/nano --ids 1,2,3 -o logits.safetensors\n"
     "  nibble logits models/nano --ids 1,2,3 --precision f32 -o reference.safetensors\n",
     make_logits_command},
};

}  // namespace

std::span<const CommandEntry> commands() { return kCommands; }

}  // namespace nibble
