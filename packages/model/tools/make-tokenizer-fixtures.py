#!/usr/bin/env python3
"""Writes fixtures/tokenizers: a small tokenizer with the pipeline of each family, and what Hugging Face's tokenizers make
of hard texts with it.

    python3 -m pip install tokenizers==0.23.3
    python3 packages/model/tools/make-tokenizer-fixtures.py

Each file: {"tokenizer": tokenizer.json, "cases": [{"text", "ids", "starts", "ends", "decoded"}], "scores"?: by id}.
Offsets are in UTF-16 units, of the pipeline without its post-processor, which trims them and adds special tokens.
"""
import json
import pathlib
import random

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

folder = pathlib.Path(__file__).parent.parent / "fixtures" / "tokenizers"
folder.mkdir(parents=True, exist_ok=True)

corpus = [
    "The capital of France is Paris, and the capital of Germany is Berlin. It's said that they'll meet where we've met.",
    "The mother tongue of Danielle Darrieux is French. The headquarters of the company are in Toronto, Canada.",
    "In 1984 the river rose 12 metres; by 2023 it had fallen to 3,456 centimetres. What I'd do? I'm not sure you're right.",
    "def add(left, right):\n    return left + right\n\nclass Reader:\n\tdef read(self):\n\t\tpass\n",
    "Die Straße führt über die Brücke zum schönen Haus, in dem früher der Bürgermeister wohnte.",
    "Le garçon naïf a mangé des crêpes à la crème près de l'église où son frère était né.",
    "El niño pequeño soñaba con montañas y ríos; mañana irá a la escuela con su señora madre.",
    "Москва является столицей России, а Киев является столицей Украины. Сегодня хорошая погода.",
    "東京は日本の首都です。京都は昔の首都でした。今日は天気がいいです。",
    "北京是中国的首都，上海是中国最大的城市。今天天气很好。",
    "서울은 대한민국의 수도이고 부산은 두 번째로 큰 도시입니다. 오늘은 날씨가 좋습니다.",
    "القاهرة هي عاصمة مصر والرياض هي عاصمة المملكة العربية السعودية. الطقس جميل اليوم.",
    "ירושלים היא בירת ישראל ותל אביב היא עיר גדולה. מזג האוויר היום נעים.",
    "दिल्ली भारत की राजधानी है और मुंबई एक बड़ा शहर है। आज मौसम अच्छा है।",
    "Hà Nội là thủ đô của Việt Nam. Thành phố Hồ Chí Minh là thành phố lớn nhất.",
    "Η Αθήνα είναι η πρωτεύουσα της Ελλάδας. Ο καιρός σήμερα είναι καλός.",
] * 3

hard = [
    "", " ", "  ", "a", " a", "a ", "\n", "\n\n\n", "\t\tx", " \n ", "Hello, world!", "Hello  world", "   three spaces",
    "trailing   ", "It's they'll WE'VE I'M you'RE o'd 'S 'ſ 'Ll", "12345 67 8", "3,456.789", "x1y22z333", "½ ⅷ ٣٤٥ ①②",
    "don't\u2019t \u201cquoted\u201d", "e\u0301", "cafe\u0301 nai\u0308ve", "caf\u00e9 na\u00efve", "a\u0323\u0307 a\u0307\u0323", "\u1e9b\u0323",
    "ﬁnance ﬂow ﷺ Å Ω K", "ｈａｌｆ ﾊﾝｶｸ ｶﾞ", "\u1112\u1161\u11ab\u1100\u116e\u11a8", "한국어 텍스트", "각\u11a8",
    "👍", "a👍b", "👩‍👩‍👧 family", "🇫🇷🇩🇪", "👍🏽👍🏿", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢", "𐍈 𐍉𐍊", "日本語のテキスト", "中文字符，标点。", "東京タワー is 333 m",
    "שלום עולם", "مرحبا بالعالم", "مُحَمَّد", "हिन्दी में पाठ", "ภาษาไทย", "Ελληνικά κείμενο", "Привет, мир!", "ÀÉÎÕÜ ßẞ ŒÆ", "\u00a0nbsp\u00a0", "\u200bzero\u200dwidth",
    "\u3000ideographic\u3000space", "\u0085next\u2028line\u2029para", "\ufeffbom", "a\r\nb\rc", "/usr/bin/env\n//comment\n", "if (x == 1) { y += 2; }\n\n\treturn;",
    "MixedCASE camelCase HTTPServer iPhone", "ǅ ǈ ǋ titlecase", "ʰʲ modifiers", "_under_score__", "▁▁ literal ▁", "<0x0A>", "<unk> </s> <s>",
    "<|endoftext|>", "a<|endoftext|>b", "a <|endoftext|> b", "<|im_start|>user\nhi<|im_end|>\n", "<|begin_of_text|>x", "<bos>y<eos>", "<s>[INST] hi [/INST]", "<think>\n\n</think>",
    "\x00\x01\x7f", "\ue000private", "\U0010ffff", "Danielle Darrieux", " Danielle Darrieux", "The mother tongue of Danielle Darrieux is",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "          ten", "a          b", "1 000 000", "...!!!???", "«guillemets»", "e\u0301\u0301\u0301", "𝟘𝟙𝟚", "a\u0301\u0328", "ạ̈́",
]

gpt4_style = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
tekken = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def special(*contents):
    return [AddedToken(content, special=True, normalized=False) for content in contents]


def byte_level(pre_tokenizer, added, normalizer=None, ignore_merges=False, post=None, size=900):
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = post or processors.ByteLevel(trim_offsets=True)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False))
    tokenizer.add_tokens(added)
    return tokenizer


def split(pattern):
    return pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(pattern), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])


def sentencepiece_vocabulary(first, size=520):
    """Tokens with scores as SentencePiece numbers them, and the merges that transformers derives from the scores."""
    trained = Tokenizer(models.BPE())
    trained.normalizer = normalizers.Replace(" ", "▁")
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    trained.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=size, min_frequency=4, limit_alphabet=110, show_progress=False))
    learned = json.loads(trained.to_str())["model"]
    pieces = ["".join(merge) for merge in learned["merges"]]
    characters = [token for token in learned["vocab"] if len(token) == 1]
    tokens = first + [f"<0x{byte:02X}>" for byte in range(256)]
    scores = [0.0] * len(tokens)
    for rank, token in enumerate(pieces + characters):
        if token in tokens:
            continue
        tokens.append(token)
        scores.append(-float(rank))
    vocab = {token: i for i, token in enumerate(tokens)}
    merges = []
    for token, score in zip(tokens, scores):
        if token.startswith("<"):
            continue
        parts = [(token[:i], token[i:]) for i in range(1, len(token)) if token[:i] in vocab and token[i:] in vocab]
        merges += [(score, part) for part in sorted(parts, key=lambda part: (vocab[part[0]], vocab[part[1]]))]
    merges.sort(key=lambda merge: -merge[0])
    return vocab, [part for _, part in merges], scores


def sentencepiece(first, added, normalizer=None, pre_tokenizer=None, strip=True, post=None):
    vocab, merges, scores = sentencepiece_vocabulary(first)
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    if pre_tokenizer is not None:
        tokenizer.pre_tokenizer = pre_tokenizer
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence(steps + ([decoders.Strip(" ", 1, 0)] if strip else []))
    if post is not None:
        tokenizer.post_processor = post
    tokenizer.add_tokens(added)
    return tokenizer, scores


def template(token, id):
    return processors.TemplateProcessing(single=f"{token} $A", pair=f"{token} $A $B:1", special_tokens=[(token, id)])


def families():
    gpt2 = pre_tokenizers.ByteLevel(add_prefix_space=False)
    yield "gpt2", byte_level(gpt2, special("<|endoftext|>")), None
    spaces = [AddedToken(" " * n, special=False, normalized=True) for n in range(12, 1, -1)]
    yield "neox", byte_level(gpt2, special("<|endoftext|>", "<|padding|>") + spaces, normalizers.NFC()), None
    smollm = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), gpt2])
    yield "smollm2", byte_level(smollm, special("<|endoftext|>", "<|im_start|>", "<|im_end|>")), None
    llama3 = byte_level(split(gpt4_style % "{1,3}"), special("<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"), ignore_merges=True)
    begin = llama3.token_to_id("<|begin_of_text|>")
    llama3.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template("<|begin_of_text|>", begin)])
    yield "llama3", llama3, None
    thoughts = [AddedToken(content, special=False, normalized=False) for content in ("<think>", "</think>", "<tool_call>")]
    chat = special("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    yield "qwen3", byte_level(split(gpt4_style % ""), chat + thoughts, normalizers.NFC()), None
    instructions = special("<unk>", "<s>", "</s>", "[INST]", "[/INST]")
    yield "tekken", byte_level(split(tekken), instructions, ignore_merges=True), None
    llama2 = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    control = ["<unk>", "<s>", "</s>"]
    yield "llama2", *sentencepiece(control, special(*control), llama2, post=template("<s>", 1))
    metaspace = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=False)
    spoken = control + ["[INST]", "[/INST]"]
    yield "mistral", *sentencepiece(spoken, special(*spoken), pre_tokenizer=metaspace, post=template("<s>", 1))
    words = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>", "\n\n", "\n\n\n"] + ["▁" * n for n in range(2, 17)]
    added = special(*words[:6]) + [AddedToken(word, special=False, normalized=False) for word in words[6:]]
    by_space = pre_tokenizers.Split(" ", "merged_with_previous")
    yield "gemma", *sentencepiece(words, added, normalizers.Replace(" ", "▁"), by_space, strip=False, post=template("<bos>", 2))
    yield "odd", odd(), None


def odd():
    """Every option that the families leave alone."""
    added = [
        AddedToken("<l>", lstrip=True, special=True, normalized=False),
        AddedToken("<r>", rstrip=True, special=False, normalized=False),
        AddedToken("lone", single_word=True, special=False, normalized=False),
        AddedToken("ﬁ", special=False, normalized=True),
        AddedToken("<|endoftext|>", special=True, normalized=False),
        AddedToken("<|endoftext|>s", special=True, normalized=False),
    ]
    steps = [
        pre_tokenizers.Digits(individual_digits=False),
        pre_tokenizers.Split(Regex(r"\d{1,2}|\p{Han}"), "merged_with_next"),
        pre_tokenizers.Split("-", "removed"),
        pre_tokenizers.Split(Regex(r"\w+"), "contiguous", invert=True),
        pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=True),
    ]
    normal = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " "), normalizers.Strip(left=False, right=True)])
    return byte_level(pre_tokenizers.Sequence(steps), added, normal)


def utf16(text, position):
    return len(text[:position].encode("utf-16-le")) // 2


def texts(seed):
    draw = random.Random(seed)
    words = " ".join(corpus[:16]).split(" ") + hard
    mixed = ["".join(draw.choice(words) + draw.choice(["", " ", " ", "  ", "\n"]) for _ in range(draw.randint(2, 9))) for _ in range(25)]
    extra = ["x <l> y", "x  <r>  y", "lone", "alone lone lonely", "a-b--c", "ﬁ fi", "<|endoftext|>s<|endoftext|>", " <l><l> "]
    return list(dict.fromkeys(hard + extra + mixed + corpus[:3]))


def cases(tokenizer):
    plain = Tokenizer.from_str(tokenizer.to_str())
    plain.post_processor = processors.Sequence([])
    for text in texts(5):
        encoding = plain.encode(text, add_special_tokens=False)
        yield {
            "text": text,
            "ids": encoding.ids,
            "starts": [utf16(text, start) for start, _ in encoding.offsets],
            "ends": [utf16(text, end) for _, end in encoding.offsets],
            "decoded": plain.decode(encoding.ids),
        }


for name, tokenizer, scores in families():
    held = {"tokenizer": json.loads(tokenizer.to_str()), "cases": list(cases(tokenizer))}
    if scores is not None:
        held["scores"] = scores
    text = json.dumps(held, ensure_ascii=False, separators=(",", ":"))
    (folder / f"{name}.json").write_text(text + "\n")
    print(name, len(held["cases"]), "cases", len(text.encode()) // 1024, "KiB", tokenizer.get_vocab_size(), "tokens")
