"""Chat templates in the form of each family: where pictures stand among words, who speaks how, what comes before an answer."""

# A system message unless there is one; pictures where they stand; Qwen's frame around them.
CHATML = (
    "{% for message in messages %}"
    "{% if loop.first and message.role != 'system' %}<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "<|im_start|>{{ message.role }}\n"
    "{% if message.content is string %}{{ message.content }}{% else %}"
    "{% for part in message.content %}"
    "{% if part.type == 'image' or part.type == 'image_url' or 'image' in part %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif part.type == 'video' or 'video' in part %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif 'text' in part %}{{ part.text }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

# Qwen3 adds no system message of its own.
CHATML_PLAIN = CHATML.replace(
    "{% if loop.first and message.role != 'system' %}<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}", ""
)

# All pictures of a message come before its words.
CHATML_LLAVA = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% if message.content is string %}{{ message.content }}{% else %}"
    "{% for part in message.content if part.type == 'image' %}<image>\n{% endfor %}"
    "{% for part in message.content if part.type == 'text' %}{{ part.text }}{% endfor %}"
    "{% endif %}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

# No space behind the colon where a picture comes first.
IDEFICS = (
    "{{ bos }}{% for message in messages %}"
    "{{ message.role | capitalize }}"
    "{% if message.content is string %}: {{ message.content }}{% else %}"
    "{% if message.content[0].type == 'image' %}:{% else %}: {% endif %}"
    "{% for part in message.content %}"
    "{% if part.type == 'text' %}{{ part.text }}{% elif part.type == 'image' %}<image>{% endif %}"
    "{% endfor %}{% endif %}<end_of_utterance>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
IDEFICS3 = IDEFICS.replace("{{ bos }}", "<|begin_of_text|>")
SMOLVLM = IDEFICS.replace("{{ bos }}", "<|im_start|>")

# All pictures of a message come before its words.
LLAVA = (
    "{% for message in messages %}"
    "{% if message.role != 'system' %}{{ message.role.upper() + ': ' }}{% endif %}"
    "{% if message.content is string %}{{ message.content + ' ' }}{% else %}"
    "{% for part in message.content if part.type == 'image' %}<image>\n{% endfor %}"
    "{% for part in message.content if part.type == 'text' %}{{ part.text + ' ' }}{% endfor %}"
    "{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)

# Pixtral says the system message at the beginning of the last turn.
PIXTRAL = (
    "{% if messages[0].role == 'system' %}{% set system = messages[0].content %}{% set spoken = messages[1:] %}"
    "{% else %}{% set spoken = messages %}{% endif %}"
    "{{ bos_token }}"
    "{% for message in spoken %}"
    "{% if message.role == 'user' %}[INST]"
    "{% if system is defined and loop.last %}{{ (system if system is string else system[0].text) + '\n\n' }}{% endif %}"
    "{% if message.content is string %}{{ message.content }}{% else %}"
    "{% for part in message.content %}"
    "{% if part.type == 'text' %}{{ part.text }}{% elif part.type == 'image' %}[IMG]{% endif %}"
    "{% endfor %}"
    "{% endif %}[/INST]"
    "{% elif message.role == 'assistant' %}"
    "{{ (message.content if message.content is string else message.content[0].text) + eos_token }}"
    "{% endif %}"
    "{% endfor %}"
)

MISTRAL = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% if message.role == 'system' %}[SYSTEM_PROMPT]"
    "{{ message.content if message.content is string else message.content[0].text }}[/SYSTEM_PROMPT]"
    "{% elif message.role == 'user' %}[INST]"
    "{% if message.content is string %}{{ message.content }}{% else %}"
    "{% for part in message.content %}"
    "{% if part.type == 'text' %}{{ part.text }}{% elif part.type in ['image', 'image_url'] %}[IMG]{% endif %}"
    "{% endfor %}{% endif %}[/INST]"
    "{% elif message.role == 'assistant' %}"
    "{{ (message.content if message.content is string else message.content[0].text) + eos_token }}"
    "{% endif %}"
    "{% endfor %}"
)

# A system message is the beginning of the first turn; the assistant is called the model.
GEMMA = (
    "{{ bos_token }}"
    "{% if messages[0].role == 'system' %}"
    "{% set first = (messages[0].content if messages[0].content is string else messages[0].content[0].text) + '\n\n' %}"
    "{% set spoken = messages[1:] %}{% else %}{% set first = '' %}{% set spoken = messages %}{% endif %}"
    "{% for message in spoken %}"
    "<start_of_turn>{{ 'model' if message.role == 'assistant' else message.role }}\n{{ first if loop.first else '' }}"
    "{% if message.content is string %}{{ message.content | trim }}{% else %}"
    "{% for part in message.content %}"
    "{% if part.type == 'image' %}<start_of_image>{% elif part.type == 'text' %}{{ part.text | trim }}{% endif %}"
    "{% endfor %}{% endif %}<end_of_turn>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
