// Lets a model answer the questions of a task file: its chat template, greedy decoding.
#pragma once

#include <cstddef>

#include "bench/tasks.h"
#include "core/result.h"
#include "engine/engine.h"

namespace nibble {

/// An answerer that gives each question alone, as the first message of a user, with thinking as the
/// template has it by default. `engine` is borrowed. Texts are cut after `max_tokens` tokens.
/// Errors: kNotFound (the model has no chat template), kCorrupt (it does not parse).
Result<AnswerFunction> make_task_answerer(Engine& engine, size_t max_tokens);

}  // namespace nibble
