// One maker per command; cli/commands.cpp lists them.
#pragma once

#include <memory>

#include "cli/commands.h"

namespace nibble {

std::unique_ptr<Command> make_quantize_command();
std::unique_ptr<Command> make_convert_command();
std::unique_ptr<Command> make_inspect_command();
std::unique_ptr<Command> make_verify_command();
std::unique_ptr<Command> make_repair_command();
std::unique_ptr<Command> make_eval_command();
std::unique_ptr<Command> make_generate_command();
std::unique_ptr<Command> make_chat_command();
std::unique_ptr<Command> make_tokenize_command();
std::unique_ptr<Command> make_render_command();
std::unique_ptr<Command> make_logits_command();

}  // namespace nibble
