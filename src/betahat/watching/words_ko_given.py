"""`watch`의 편지, 한국어: loss와 층에 들어가는 값."""

LETTERS = {
    "targets-out-of-range, signs": (
        "{place0}의 {loss}에 {low}부터 {high}까지의 정답이 들어갑니다(지금까지 {times}번). 정답은 0과 1 사이여야 "
        "합니다.",
        "정답이 -1이면 loss가 0 아래로 끝없이 내려갑니다. 점수만 한없이 커지고, 그 값은 확률이 되지 못합니다",
        "{loss}(scores, (y + 1) / 2)  # -1과 1을 0과 1로",
    ),
    "targets-out-of-range, bytes": (
        "{place0}의 {loss}에 {low}부터 {high}까지의 정답이 들어갑니다(지금까지 {times}번). 정답은 0과 1 사이여야 "
        "합니다.",
        "정답이 1보다 크면 loss가 0 아래로 끝없이 내려갑니다. 그림이 무엇이든 모든 출력이 1로 몰립니다",
        "{loss}(scores, y / 255)  # 모델에 넣는 값도 x / 255로",
    ),
    "targets-out-of-range, range": (
        "{place0}의 {loss}에 {low}부터 {high}까지의 정답이 들어갑니다(지금까지 {times}번). 정답은 0과 1 사이여야 "
        "합니다.",
        "정답이 0과 1을 벗어나면 loss가 0 아래로 끝없이 내려갑니다. 점수만 한없이 커지고, 그 값은 확률이 되지 못합니다",
        "y = {moved}  # 분류라면 cross_entropy, 측정값이라면 mse_loss",
    ),
    "targets-out-of-range, reach": (
        "{place0}의 {loss}에 {place1}의 {by}에서 나온 값이 그대로 들어갑니다. 이 값은 {least}과 {most} 사이를 벗어나지 "
        "못하는데, 정답은 {low}부터 {high}까지입니다. 연달아 {times}번, 0이 아닌 정답의 {share} 이상이 그 밖에 "
        "있었습니다.",
        "출력이 정답에 닿을 수 없습니다. {by}의 끝으로 몰려 기울기가 사라지고, loss는 큰 채로 남습니다",
        "return self.out(h)  # 마지막 층 뒤에 {by} 없이. 또는 정답의 크기를 맞춰서: y = {scaled}",
    ),
    "log-probabilities-expected, probabilities": (
        "{place0}의 {loss}에 확률이 들어갑니다. 0보다 작은 값이 없고 행마다 합이 1입니다. 이 loss는 확률의 로그를 "
        "받는데, 로그 확률은 0보다 클 수 없습니다.",
        "전혀 다른 loss가 됩니다. 값이 0 아래로 내려가고 기울기도 틀리며, 뜻하지 않은 곳에서 끝납니다",
        "{loss}(F.log_softmax(scores, dim=-1), …)  # softmax 대신 log_softmax",
    ),
    "log-probabilities-expected, scores": (
        "{place0}의 {loss}에 {high}까지 이르는 값이 들어갑니다(지금까지 {times}번). 이 loss는 확률의 로그를 받는데, "
        "로그 확률은 0보다 클 수 없습니다.",
        "다른 점수가 어떻든 점수를 키우기만 하면 loss가 작아집니다. 끝없이 내려갑니다",
        "{loss}(F.log_softmax(scores, dim=-1), …)  # 마지막 층의 점수를 정규화해서",
    ),
    "reshaped-not-transposed": (
        "{place0}의 {loss}에 모양이 {after}인 점수가 들어갑니다. {place1}의 {by}()가 {before} 모양을 다시 자른 것입니다"
        "(지금까지 {times}번). {by}는 숫자의 순서를 그대로 두고 모양만 바꿀 뿐, 축을 서로 바꾸지 않습니다.",
        "한 위치의 점수로 쓰이는 자리에 여러 위치, 여러 클래스의 점수가 뒤섞여 들어갑니다. 어느 클래스가 잦은지 말고는 "
        "거의 배우지 못합니다",
        "loss = {loss}({mended}, targets)  # 클래스가 1번 축으로",
    ),
    "units-saturated": (
        "처음 {times}번의 호출에서 {place0}의 {by}에 들어간 값의 {share} 이상이 -8과 8을 벗어났습니다(가장 큰 크기는 "
        "{largest}). 이 값은 크기가 {size}까지 되는 데이터를 그대로 받는 층({names})에서 나옵니다.",
        "그렇게 먼 곳에서는 {by}가 평평합니다. 어느 행에서나 같은 값을 내놓고, 가중치에는 기울기가 거의 오지 않습니다",
        "x = (x - x.mean(0)) / x.std(0)  # 모델에 넣기 전에, 학습 데이터를 기준으로 열마다 표준화",
    ),
    "inputs-all-zero": (
        "backward() {times}번 동안 {place0}에서 {names}에 들어간 값이 모두 0이었고(모양 {shape}), 다른 층에 들어간 "
        "데이터도 없습니다({place1}의 backward()).",
        "모델이 데이터를 보지 못합니다. 어느 답이 잦은지, 또는 평균이 얼마인지만 배웁니다",
        "x = image.astype('float32') / 255  # 정수를 //로 나누면 0이 됩니다. x.min(), x.max()로 확인하세요",
    ),
    "sampled-without-gradient": (
        "{place0}에서 뽑은 표본이 {place1}에서 다른 신경망으로 들어갑니다(연달아 {times}번). 표본을 거쳐서는 기울기가 "
        "돌아오지 않는데, loss의 다른 부분은 그 분포의 파라미터에 닿습니다.",
        "평균과 표준편차가 그 부분만 보고 배웁니다. 변분 오토인코더라면 인코더가 KL 항만 따르고 복원 오차는 보지 "
        "못합니다. 점수 함수 추정량을 쓰려는 것이라면 괜찮습니다",
        "z = q.rsample()  # 평균 + 표준편차 * 잡음. 기울기가 지나갑니다",
    ),
}
