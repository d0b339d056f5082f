"""Train a ResNet-10 of 0.69 M parameters on FER2013.

  python experiments/small_resnet.py --dataset fer2013 --data DIR             20 minutes on 2 cores (AMD EPYC, Zen 4)
  python experiments/small_resnet.py --quick                                    built-in faces, a minute
  python experiments/small_resnet.py --dataset fer2013 --data DIR --start FERPLUS.keras --learning-rate 0.005
  python experiments/small_resnet.py --dataset fer2013 --data DIR --teacher A.keras,B.keras --averaging "ema()"

Recipe: SGD with Nesterov momentum, warm-up and one cosine, coupled decay, label smoothing, light augmentation. Expected
on test, single view: 67.0 % (published for VGG19 with ten crops: 73.11). Networks to start from and teachers must see
faces of the same size. Figures: experiments/results/small_resnet.md.
"""

from dataclasses import replace

from fer_tf.commands.train import STUDY as TRAIN
from fer_tf.tuning import commandline

STUDY = replace(TRAIN, name="small_resnet", title="A small ResNet", description=__doc__, without=())

if __name__ == "__main__":
    commandline.main(STUDY)
