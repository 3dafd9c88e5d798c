#!/usr/bin/env python3
"""Pastiche beside PyTorch, ONNX Runtime and OpenVINO on the same work, in one run: see run.sh.

Every peer is a process of its own that builds its model, then waits; rounds go from one to the next, so that whatever else slows the machine meets all.
A figure is the median over rounds of the median time of a unit of work (one inference, or one training step with its optimisers). Random weights; the same
number of threads for all. Peak memory is the largest resident set of a fresh process that does three units of work.
"""
import argparse, json, math, os, platform, resource, statistics, subprocess, sys, time

HERE = os.path.dirname(os.path.abspath(__file__))
# name: (graph, step or export, sizes, the peers' unit in terms of models.py, is a training step, options of pastiche)
WORK = {
    'johnson_infer_512':   ('johnson.graph', 'infer', ['photo=1x3x512x512'], 'w_johnson_infer()', False, []),
    'cyclegan_infer_256':  ('cyclegan.graph', 'infer', ['photo=1x3x256x256'], 'w_cyclegan_infer()', False, []),
    'dcgan_infer_64':      ('dcgan.graph', 'infer', ['z=64x100x1x1'], 'w_dcgan_infer()', False, []),
    'dcgan_train_32':      ('dcgan.graph', 'train', ['x=32x3x64x64', 'z=32x100x1x1'], 'w_dcgan_train(wrap=wrap)', True, []),
    'johnson_train_256x2': ('johnson.graph', 'train', ['x=2x3x256x256'], 'w_johnson_train(wrap=wrap)', True, []),
    'mlp_gan_train_128':   ('mlp_gan.graph', 'train', ['x=128x784', 'z=128x100'], 'w_mlp_gan_train(wrap=wrap)', True, []),
}
# The same networks in other sizes: --further
FURTHER = {
    'johnson_infer_132x516':  ('johnson.graph', 'infer', ['photo=1x3x132x516'], 'infer(Johnson(), 1, 3, 132, 516)', False, []),
    'johnson_infer_w16_1024': ('johnson.graph', 'infer', ['photo=1x3x1024x1024'], 'infer(Johnson(16), 1, 3, 1024, 1024)', False, ['--set', 'w=16']),
    'johnson_infer_128x8':    ('johnson.graph', 'infer', ['photo=8x3x128x128'], 'w_johnson_infer(8, 128)', False, []),
    'cyclegan_infer_w48_128': ('cyclegan.graph', 'infer', ['photo=1x3x128x128'], 'infer(ResnetG(48), 1, 3, 128, 128)', False, ['--set', 'w=48']),
    'cyclegan_infer_512x2':   ('cyclegan.graph', 'infer', ['photo=2x3x512x512'], 'w_cyclegan_infer(2, 512)', False, []),
    'dcgan_infer_1':          ('dcgan.graph', 'infer', ['z=1x100x1x1'], 'w_dcgan_infer(1)', False, []),
    'dcgan_infer_7':          ('dcgan.graph', 'infer', ['z=7x100x1x1'], 'w_dcgan_infer(7)', False, []),
    'dcgan_train_4':          ('dcgan.graph', 'train', ['x=4x3x64x64', 'z=4x100x1x1'], 'w_dcgan_train(4, wrap)', True, []),
    'dcgan_train_64':         ('dcgan.graph', 'train', ['x=64x3x64x64', 'z=64x100x1x1'], 'w_dcgan_train(64, wrap)', True, []),
    'johnson_train_128x4':    ('johnson.graph', 'train', ['x=4x3x128x128'], 'w_johnson_train(4, 128, wrap)', True, ['--set', 'size=128']),
    'mlp_gan_train_16':       ('mlp_gan.graph', 'train', ['x=16x784', 'z=16x100'], 'w_mlp_gan_train(16, wrap)', True, []),
    'mlp_gan_train_1000':     ('mlp_gan.graph', 'train', ['x=1000x784', 'z=1000x100'], 'w_mlp_gan_train(1000, wrap)', True, []),
}
ALL = {**WORK, **FURTHER}
PEERS = ['eager', 'channels_last', 'compile', 'onnxruntime', 'openvino']


# ---------------------------------------------------------------- a peer's process

def peer_unit(work, peer, threads):
    """A function that does one unit of work."""
    import torch
    import models
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    _, _, _, unit, train, _ = ALL[work]
    made = eval(unit, dict(vars(models), wrap=torch.compile if peer == 'compile' else lambda f: f))
    if train:
        f, args = made
        if peer == 'channels_last':
            args = tuple(a.to(memory_format=torch.channels_last) if a.dim() == 4 else a for a in args)
            for cell in f.__closure__:                  # the networks a step closes over
                if isinstance(cell.cell_contents, torch.nn.Module):
                    cell.cell_contents.to(memory_format=torch.channels_last)
        return lambda: f(*args)
    model, args = made
    if peer in ('onnxruntime', 'openvino'):
        import tempfile
        path = os.path.join(tempfile.mkdtemp(), work + '.onnx')
        sys.stdout, out = sys.stderr, sys.stdout
        torch.onnx.export(model, args, path, dynamo=True)
        sys.stdout = out
        x = args[0].numpy()
        if peer == 'onnxruntime':
            import onnxruntime
            o = onnxruntime.SessionOptions()
            o.intra_op_num_threads = threads
            s = onnxruntime.InferenceSession(path, o, providers=['CPUExecutionProvider'])
            return lambda: s.run(None, {s.get_inputs()[0].name: x})
        import openvino
        core = openvino.Core()
        c = core.compile_model(core.read_model(path), 'CPU', {'INFERENCE_NUM_THREADS': threads, 'PERFORMANCE_HINT': 'LATENCY', 'INFERENCE_PRECISION_HINT': 'f32'})
        r = c.create_infer_request()
        return lambda: r.infer([x])
    if peer == 'channels_last':
        model = model.to(memory_format=torch.channels_last)
        args = tuple(a.to(memory_format=torch.channels_last) if a.dim() == 4 else a for a in args)
    if peer == 'compile':
        model = torch.compile(model)
    def unit():
        with torch.inference_mode():
            model(*args)
    return unit


def peer_main(work, peer, threads):
    began = time.perf_counter()
    unit = peer_unit(work, peer, threads)
    unit()
    first = time.perf_counter() - began
    unit()
    unit()
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({'first_s': first, 'rss': rss}), flush=True)
    for line in sys.stdin:
        took, began = [], time.perf_counter()
        unit()
        while len(took) < 3 or time.perf_counter() - began < float(line):
            t = time.perf_counter()
            unit()
            took.append(time.perf_counter() - t)
        print(json.dumps({'ms': statistics.median(took) * 1e3}), flush=True)


class Peer:
    def __init__(self, work, peer, args):
        env = dict(os.environ, OMP_NUM_THREADS=str(args.threads), PYTHONPATH=args.peers)
        self.name = peer
        self.times = []
        self.process = subprocess.Popen([sys.executable, __file__, '--work', work, '--peer', peer, '--threads', str(args.threads)], env=env, text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=open(args.log, 'a'))
        ready = self.read()
        self.first, self.rss = ready.get('first_s'), ready.get('rss')

    def read(self):
        line = self.process.stdout.readline()
        return json.loads(line) if line else {}

    def round(self, seconds):
        if self.first is None:
            return
        self.process.stdin.write('%g\n' % seconds)
        self.process.stdin.flush()
        ms = self.read().get('ms')
        if ms:
            self.times.append(ms)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


# ---------------------------------------------------------------- pastiche

def pastiche(work, args, rounds=None, also=[]):
    graph, name, sizes, _, _, options = ALL[work]
    command = [args.pastiche, 'bench', os.path.join(HERE, graph), name, '--threads', str(args.threads), '--json'] + options + args.option + also
    for s in sizes:
        command += ['--size', s]
    if rounds:
        command += ['--rounds', str(rounds)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def geometric(v):
    return math.exp(sum(map(math.log, v)) / len(v)) if v else float('nan')


def compare(work, args):
    peers = [Peer(work, p, args) for p in args.with_ if not (ALL[work][4] and p in ('onnxruntime', 'openvino'))]
    ours, exact = [], []
    for _ in range(args.rounds):
        ours.append(pastiche(work, args))
        exact.append(pastiche(work, args, also=['--exact'])['ms'])
        for p in peers:
            p.round(args.seconds)
    for p in peers:
        p.close()
    median = lambda key: statistics.median(float('nan') if o[key] is None else o[key] for o in ours)
    memory = pastiche(work, args, 3)['max_rss_mib']
    row = {'work': work, 'gflop': ours[0]['gflop'], 'ms': median('ms'), 'exact_ms': statistics.median(exact), 'of_peak': median('of_peak'), 'peak_gflops': median('peak_gflops'), 'compile_ms': median('compile_ms'), 'cached_start_ms': median('cached_start_ms'), 'rss': memory,
           'peers': {p.name: {'ms': statistics.median(p.times), 'first_s': p.first, 'rss': p.rss} for p in peers if p.times}}
    best = min(row['peers'], key=lambda k: row['peers'][k]['ms']) if row['peers'] else None
    row['fastest'] = best
    row['ratio'] = row['peers'][best]['ms'] / row['ms'] if best else float('nan')
    row['exact_ratio'] = row['peers'][best]['ms'] / row['exact_ms'] if best else float('nan')
    return row


def table(rows, args):
    out = ['| workload | GFLOP | pastiche | `--exact` | ' + ' | '.join(args.with_) + ' | ratio to the fastest | `--exact` | share of FMA peak | compile | cached start | memory, of PyTorch eager |',
           '|---' * (11 + len(args.with_)) + '|']
    for r in rows:
        cells = ['%.4g' % r['peers'][p]['ms'] if p in r['peers'] else '' for p in args.with_]
        eager = r['peers'].get('eager')
        memory = '%.0f MiB, %.2f' % (r['rss'], r['rss'] / eager['rss']) if eager else '%.0f MiB' % r['rss']
        out.append('| %s | %.4g | %.4g | %.4g | %s | %.2f | %.2f | %.0f %% | %.2f s | %.0f ms | %s |' % (r['work'], r['gflop'], r['ms'], r['exact_ms'], ' | '.join(cells), r['ratio'], r['exact_ratio'], 100 * r['of_peak'], r['compile_ms'] / 1e3, r['cached_start_ms'], memory))
    memory = [r['rss'] / r['peers']['eager']['rss'] for r in rows if 'eager' in r['peers']]
    out.append('')
    out.append('Milliseconds; geometric mean of the ratios %.2f, least %.2f; with --exact %.2f, least %.2f; of memory %.2f, most %.2f. %d threads, medians of %d rounds in turn, FMA peak %.0f GFLOP/s.' %
               (geometric([r['ratio'] for r in rows]), min(r['ratio'] for r in rows), geometric([r['exact_ratio'] for r in rows]), min(r['exact_ratio'] for r in rows), geometric(memory), max(memory, default=float('nan')), args.threads, args.rounds,
                statistics.median(r['peak_gflops'] for r in rows)))
    with open('/proc/cpuinfo') as f:
        model = next((l.split(':')[1].strip() for l in f if l.startswith('model name')), platform.machine())
    out.append('%s, %d cores.' % (model, os.cpu_count()))
    return '\n'.join(out)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('--pastiche', default=os.path.join(HERE, '..', '..', 'build', 'pastiche'))
    a.add_argument('--peers', default=os.path.join(HERE, '..', '..', '..', 'shared', 'peers'), help='folder of models.py')
    a.add_argument('--work', action='append', help='one of %s; may be repeated (default: all)' % ', '.join(WORK))
    a.add_argument('--further', action='store_true', help='the same networks in other sizes: %s' % ', '.join(FURTHER))
    a.add_argument('--with', dest='with_', action='append', choices=PEERS, help='a peer; may be repeated (default: all)')
    a.add_argument('--option', action='append', default=[], help='passed on to pastiche bench, e.g. --option=--exact')
    a.add_argument('--threads', type=int, default=2)
    a.add_argument('--rounds', type=int, default=5)
    a.add_argument('--seconds', type=float, default=1.0, help='of a round of a peer')
    a.add_argument('--json', help='file that gets the rows')
    a.add_argument('--log', default=os.devnull, help="file for what the peers say")
    a.add_argument('--peer', choices=PEERS, help=argparse.SUPPRESS)
    args = a.parse_args()
    if args.peer:
        return peer_main(args.work[0], args.peer, args.threads)
    args.with_ = args.with_ or PEERS
    for w in args.work or []:
        if w not in ALL:
            sys.exit("compare.py: no workload '%s'; there are: %s" % (w, ', '.join(ALL)))
    rows = []
    for w in args.work or list(FURTHER if args.further else WORK):
        rows.append(compare(w, args))
        print('%s: %.4g ms, %s' % (w, rows[-1]['ms'], ', '.join('%s %.4g ms' % (k, v['ms']) for k, v in rows[-1]['peers'].items())), file=sys.stderr, flush=True)
    print(table(rows, args))
    if args.json:
        with open(args.json, 'w') as f:
            json.dump(rows, f, indent=1)


if __name__ == '__main__':
    main()
