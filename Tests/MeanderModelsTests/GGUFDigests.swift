/// Of the files that fixtures give in F32, digests of all tensors' names, shapes and numbers, as llama.cpp ran them.
enum GGUFDigests {
  static let all = [
    ("mamba2-tied", "63b98e4b5745f8697b628071c36e7f98"),
    ("mamba1", "085393c45cdd952906fe620ea9946c83"),
    ("falcon-mamba", "297ab3aa43f3bf63f1c1cbc2f68a9fe7"),
    ("rwkv6", "e53751387be53a81ee366ea4892f34d9"),
    ("rwkv7-bf16-head64", "285aafab300b0134a3e735eb74bc05d3"),
    ("rwkv7-hf", "285aafab300b0134a3e735eb74bc05d3"),
    ("jamba", "251c76215a12343460800612b7c84849"),
    ("falcon-h1", "90ae10c157bb998a6c596ea5ea59812c"),
    ("granite-moe-hybrid", "d86f9e294b2e10558fdb1c17559dbeab"),
    ("granite-hybrid-dense", "a660a3dcde059ea3b945d5e801392ea4"),
    ("lfm2", "b0cbc79c1acbc499cb40c3957908bec5"),
    ("nemotron-h", "65558bfe882e8afac41d8b1e17f34371"),
    ("nemotron-h-moe", "d2e93d637b4f5a752808d1f420eeb87c"),
    ("qwen3-next", "c7e84f628b3a43d431e6135ba518de41"),
    ("llama-gqa", "b09f2f8b239ea1dccdfb04d9c63439ea"),
    ("qwen2-bias", "8e9760924ebf8d8acf2343bcfc43b566"),
    ("qwen3-qknorm", "0217a4064453a3d662147e98848edf9a"),
    ("llama-rope-scaled-f16-sharded", "f7ddbdf48d79a3231a027d9bb737ceda"),
  ]
}
