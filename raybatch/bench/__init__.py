"""The same work through raybatch and through its peers, side by side.

    recipes ──── what becomes of an image: stretched, or as it is trained on
    contenders ── who takes part in which recipe: functions in peers, decoding_peers and ray_data_peers,
                 and the plain loop in work
    race ─────── checks their pixels, then times them in turn, round after round
      one_run ── one contender in a process of its own: times or digests what it gives (measures), or compares
                 what many random draws have in common (draws)
      launch ─── starts that process, samples what it uses (processes), ends whatever it leaves
    report ───── medians, and the ratio of each round; plot draws them

    needs ────── what a wanted rate needs, from a few measured batches

A peer is imported inside its own function only, and only in the process that runs it.
"""
