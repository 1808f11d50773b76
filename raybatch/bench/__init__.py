"""The same work through raybatch and through its peers, side by side.

    recipes ──── the arrays that images become: stretched, or as for training or evaluation
    contenders ── the contenders of each recipe: functions in peers, decoding_peers and
                 ray_data_peers, and the plain loop in work
    race ─────── checks their pixels, then times them in turn, round after round
      one_run ── one contender in a process of its own: times or digests its batches (measures), or
                 compares the statistics of many random draws (draws)
      launch ─── starts that process, samples its resources (processes), ends whatever it leaves
    report ───── medians, and the ratio of each round; plot draws them

    needs ────── the resources for a rate, from a few measured batches

A peer is imported only in the process that runs it.
"""
